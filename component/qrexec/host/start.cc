// How a service that was found, or a command, comes to run.

#include "component/qrexec/host/process.h"
#include "component/qrexec/host/service.h"
#include "rpc/qrexec/message.h"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

using Start = std::variant<Local_end, Service_failure>;

constexpr std::string_view PREFIX = "QREXEC";
constexpr std::string_view KEPT = "QREXEC_SERVICE_PATH=";

Service_failure trouble(std::string message) { return {EXIT_TROUBLE, std::move(message)}; }

void set(std::vector<std::string> &environment, std::string_view name, std::string_view value)
{
	std::string &entry = environment.emplace_back();
	entry.reserve(name.size() + 1 + value.size());
	entry.append(name).append("=").append(value);
}

// What a program gets of our environment: nothing of qrexec's, which it might mistake for its own.
std::vector<std::string> inherited_environment()
{
	std::vector<std::string> environment;
	for (char **entry = environ; entry && *entry; ++entry) {
		std::string_view const text = *entry;
		if (!text.starts_with(PREFIX) || text.starts_with(KEPT)) environment.emplace_back(text);
	}
	return environment;
}

void set_agent(std::vector<std::string> &environment, pid_t agent)
{
	set(environment, "QREXEC_AGENT_PID", std::to_string(agent > 0 ? agent : ::getpid()));
}

std::vector<std::string> service_environment(Command_line const &command, pid_t agent)
{
	std::vector<std::string> environment = inherited_environment();
	set_agent(environment, agent);
	set(environment, "QREXEC_REMOTE_DOMAIN", command.source);
	set(environment, "QREXEC_SERVICE_FULL_NAME", command.full_name);
	if (command.argument) set(environment, "QREXEC_SERVICE_ARGUMENT", *command.argument);
	switch (command.target_kind) {
	case Target_kind::NONE: set(environment, "QREXEC_REQUESTED_TARGET_TYPE", ""); break;
	case Target_kind::NAME:
		set(environment, "QREXEC_REQUESTED_TARGET_TYPE", "name");
		set(environment, "QREXEC_REQUESTED_TARGET", command.target);
		break;
	case Target_kind::KEYWORD:
		set(environment, "QREXEC_REQUESTED_TARGET_TYPE", "keyword");
		set(environment, "QREXEC_REQUESTED_TARGET_KEYWORD", command.target);
		break;
	}
	return environment;
}

/* Both ends of what connects a program to a call. */
struct Plumbing
{
	Local_end ours{};
	Owned_fd in{}, out{}, errors{};

	bool make(bool with_errors);
	bool discard();
};

bool make_pipe(Owned_fd &read_end, Owned_fd &write_end)
{
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC) != 0) return false;
	read_end.reset(ends[0]);
	write_end.reset(ends[1]);
	// Only ours: the two are separate files.
	return ::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
}

// A socket for input: the program may be one that answers there. Pipes for output and errors: a
// program can open these once more by /proc/self/fd.
bool Plumbing::make(bool with_errors)
{
	int ends[2];
	if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
	ours.to.reset(ends[0]);
	in.reset(ends[1]);
	return make_pipe(ours.from, out) && (!with_errors || make_pipe(ours.errors, errors));
}

bool Plumbing::discard()
{
	in.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
	return bool(in);
}

Start run(Program program, std::string const &user, Start_options const &options)
{
	Plumbing plumbing;
	bool const made =
		options.discard_streams ? plumbing.discard() : plumbing.make(options.own_errors);
	if (!made) return trouble("cannot make pipes for " + program.path + ": " + errno_text(errno));
	program.in = plumbing.in.value();
	program.out = options.discard_streams ? program.in : plumbing.out.value();
	if (options.discard_streams)
		program.errors = program.in;
	else if (options.own_errors)
		program.errors = plumbing.errors.value();
	auto const started = options.log_in ? options.log_in->start(program, user) : spawn(program);
	if (auto const *failure = std::get_if<Service_failure>(&started)) return *failure;
	plumbing.ours.process = std::get<pid_t>(started);
	return std::move(plumbing.ours);
}

Start connect_socket(Found_service const &service)
{
	Local_end end;
	end.socket = true;
	int const error = connect_to_service(service.path, end.to);
	if (error == 0) return end;
	if (error != EAGAIN) {
		std::string const why = error == ECONNREFUSED
			? std::string("nobody listens; is its program running?")
			: errno_text(error);
		return trouble("cannot connect to " + service.path + ": " + why);
	}
	end.connect_again = service.path;
	return end;
}

/* An address in numbers: no name is looked up, neither here nor on the network. */
struct Numbers
{
	union
	{
		sockaddr any;
		sockaddr_in v4;
		sockaddr_in6 v6;
	};
	socklen_t size = 0;
};

// "fe80::1%eth0" has a zone.
bool parse_v6(std::string const &host, uint16_t port, Numbers &to)
{
	size_t const percent = host.find('%');
	to.v6 = {};
	to.v6.sin6_family = AF_INET6;
	to.v6.sin6_port = htons(port);
	to.size = sizeof(to.v6);
	if (::inet_pton(AF_INET6, host.substr(0, percent).c_str(), &to.v6.sin6_addr) != 1) return false;
	if (percent == std::string::npos) return true;
	std::string const zone = host.substr(percent + 1);
	to.v6.sin6_scope_id = ::if_nametoindex(zone.c_str());
	if (to.v6.sin6_scope_id) return true;
	char const *const end = zone.data() + zone.size();
	auto const [stop, error] = std::from_chars(zone.data(), end, to.v6.sin6_scope_id);
	return error == std::errc{} && stop == end && to.v6.sin6_scope_id;
}

bool parse_address(std::string const &host, uint16_t port, Numbers &to)
{
	if (host.find_first_of(":%") != std::string::npos) return parse_v6(host, port, to);
	to.v4 = {};
	to.v4.sin_family = AF_INET;
	to.v4.sin_port = htons(port);
	to.size = sizeof(to.v4);
	return ::inet_pton(AF_INET, host.c_str(), &to.v4.sin_addr) == 1;
}

Start connect_tcp(Found_service const &service)
{
	std::string const where = "[" + service.host + "]:" + service.port;
	uint16_t port = 0;
	(void)std::from_chars(service.port.data(), service.port.data() + service.port.size(), port);
	Numbers address;
	if (!port || !parse_address(service.host, port, address))
		return trouble(
			service.path + ": " + where + " is no address: numbers are needed, no names");
	Local_end end;
	end.socket = true;
	end.to.reset(
		::socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
	if (!end.to) return trouble("cannot make a socket: " + errno_text(errno));
	int const one = 1;
	// Chunks are passed on as they come.
	(void)::setsockopt(end.to.value(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (::connect(end.to.value(), &address.any, address.size) == 0) return end;
	if (errno != EINPROGRESS)
		return trouble("cannot connect to " + where + ": " + errno_text(errno));
	end.connecting = true;
	return end;
}

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

} // namespace

Start start_service(
	Found_service const &service, Command_line const &command, Start_options const &options)
{
	if (service.kind != Found_service::Kind::EXECUTABLE) {
		Start end = service.kind == Found_service::Kind::TCP ? connect_tcp(service)
															 : connect_socket(service);
		auto *const local = std::get_if<Local_end>(&end);
		if (!local || service.config.skip_service_descriptor) return end;
		local->prefix = command.descriptor;
		local->prefix.push_back('\0');
		return end;
	}
	Program program;
	program.path = service.path;
	program.arguments.emplace_back(service.path);
	program.arguments.insert(
		program.arguments.end(), service.arguments.begin(), service.arguments.end());
	if (command.argument && !command.argument->empty())
		program.arguments.emplace_back(*command.argument);
	program.environment = service_environment(command, options.agent);
	std::string const user =
		service.config.force_user ? std::string(service.config.force_user->view()) : options.user;
	return run(std::move(program), user, options);
}

Start start_command(Command_line const &command, Start_options const &options)
{
	Program program;
	program.command = true;
	program.path = options.shell;
	program.arguments = {std::string(last_part(options.shell)), "-c", std::string(command.command)};
	program.environment = inherited_environment();
	set_agent(program.environment, options.agent);
	return run(std::move(program), options.user, options);
}

Start start_local_program(
	std::vector<std::string> const &arguments, std::vector<std::string> const &more)
{
	if (arguments.empty()) return trouble("no local program is named");
	Program program;
	program.path = arguments[0];
	program.arguments = arguments;
	program.arguments[0] = last_part(arguments[0]);
	// Copies of the caller's own streams, perhaps.
	program.inherits = true;
	for (char **entry = environ; entry && *entry; ++entry)
		if (!std::string_view(*entry).starts_with("QREXEC_AGENT_PID="))
			program.environment.emplace_back(*entry);
	set_agent(program.environment, 0);
	program.environment.insert(program.environment.end(), more.begin(), more.end());
	return run(std::move(program), {}, {.own_errors = false});
}

std::variant<pid_t, Service_failure> start_wait_for_session(
	Places const &places, Command_line const &command, std::string const &user)
{
	Command_line wanted;
	wanted.service = wanted.full_name = "qubes.WaitForSession";
	wanted.source = command.source;
	auto const found = find_service({places.services, {}}, wanted);
	if (auto const *failure = std::get_if<Service_failure>(&found)) return *failure;
	auto const &service = std::get<Found_service>(found);
	if (service.kind != Found_service::Kind::EXECUTABLE)
		return trouble(service.path + " must be an executable");
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC) != 0) return trouble("cannot make a pipe: " + errno_text(errno));
	Owned_fd const read_end{ends[0]}, write_end{ends[1]};
	std::string const line = user + "\n";
	// A pipe takes that much at once.
	if (::write(write_end.value(), line.data(), line.size()) < 0)
		return trouble("cannot write to a pipe: " + errno_text(errno));
	Program program;
	program.path = service.path;
	program.arguments = {"qubes.WaitForSession"};
	program.environment = service_environment(wanted, 0);
	program.in = read_end.value();
	return spawn(program);
}

std::string wait_for_session(
	Places const &places, Command_line const &command, std::string const &user)
{
	auto const started = start_wait_for_session(places, command, user);
	if (auto const *failure = std::get_if<Service_failure>(&started)) return failure->message;
	int status = 0;
	while (::waitpid(std::get<pid_t>(started), &status, 0) < 0)
		if (errno != EINTR) return "cannot wait for qubes.WaitForSession: " + errno_text(errno);
	return {};
}

} // namespace bulkhead::qrexec
