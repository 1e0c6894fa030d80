#include "component/qrexec/host/service.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "rpc/qrexec/message.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

constexpr std::string_view TCP = "/dev/tcp";
constexpr std::string_view PORT_MAX = "65535";

/* A file that was found in one of the directories. */
struct Found_file
{
	std::string path;
	struct stat about;
	std::string tcp{}; // what follows /dev/tcp, with its slash
	bool is_tcp = false;
};

using Search = std::variant<std::monostate, Found_file, Service_failure>;

std::string environment_or(char const *name, std::string_view otherwise)
{
	char const *const value = ::getenv(name);
	return value ? std::string(value) : std::string(otherwise);
}

Service_failure trouble(std::string message) { return {EXIT_TROUBLE, std::move(message)}; }

// Where a link leads to, if that is a TCP address.
bool tcp_link(std::string const &path, std::string &rest)
{
	std::array<char, PATH_MAX> target;
	ssize_t const n = ::readlink(path.c_str(), target.data(), target.size());
	if (n < 0) return false;
	std::string_view const to{target.data(), static_cast<size_t>(n)};
	if (!to.starts_with(TCP)) return false;
	if (to.size() > TCP.size() && to[TCP.size()] != '/') return false;
	rest = to.substr(TCP.size());
	return true;
}

// The first that is there; whatever is wrong with it is not made good by a later one.
Search find_file(std::string_view directories, std::string_view name, bool tcp_too)
{
	if (name.size() > NAME_MAX) return {};
	while (!directories.empty()) {
		size_t const end = std::min(directories.find(':'), directories.size());
		std::string_view const folder = directories.substr(0, end);
		directories.remove_prefix(std::min(end + 1, directories.size()));
		if (folder.empty()) continue;
		Found_file file{.path = std::string(folder) + "/" + std::string(name), .about = {}};
		int result = ::lstat(file.path.c_str(), &file.about);
		if (result == 0 && S_ISLNK(file.about.st_mode)) {
			if (tcp_too && tcp_link(file.path, file.tcp)) {
				file.is_tcp = true;
				return file;
			}
			result = ::stat(file.path.c_str(), &file.about);
			// A link that leads nowhere is not the same as no file.
			if (result != 0 && errno == ENOENT)
				return trouble(file.path + " is a link to a file that doesn't exist");
		}
		if (result == 0) return file;
		if (errno != ENOENT)
			return trouble("cannot look at " + file.path + ": " + errno_text(errno));
	}
	return {};
}

// With its argument, an empty one if it has none; then without.
Search find_for(std::string_view directories, Command_line const &command, bool tcp_too)
{
	std::string name{command.full_name};
	if (!command.argument) name += '+';
	Search found = find_file(directories, name, tcp_too);
	if (!std::holds_alternative<std::monostate>(found)) return found;
	return find_file(directories, command.service, tcp_too);
}

std::variant<Service_config, Service_failure> load_config(
	std::string_view directories, Command_line const &command)
{
	Search const found = find_for(directories, command, false);
	if (auto const *failure = std::get_if<Service_failure>(&found)) return *failure;
	auto const *file = std::get_if<Found_file>(&found);
	if (!file) return Service_config{};
	// One that isn't a regular file might never end.
	if (!S_ISREG(file->about.st_mode)) return trouble(file->path + " is no regular file");
	Owned_fd const fd{::open(file->path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
	if (!fd) return trouble("cannot open " + file->path + ": " + errno_text(errno));
	std::array<char, Service_config::FILE_MAX_BYTES + 1> text;
	size_t size = 0;
	ssize_t n = 0;
	while (
		size < text.size() && (n = ::read(fd.value(), text.data() + size, text.size() - size)) > 0)
		size += static_cast<size_t>(n);
	if (n < 0) return trouble("cannot read " + file->path + ": " + errno_text(errno));
	auto const config = parse_service_config({text.data(), size});
	if (config.ok()) {
		if (config.value().ignored_line)
			log(file->path, ":", config.value().ignored_line,
				": there is no such setting; ignored");
		return config.value();
	}
	return trouble(file->path + ":" + std::to_string(config.error().line) + ": " +
		std::string(text_of(config.error().kind)));
}

bool valid_port(std::string_view port)
{
	if (port.empty() || port.size() > PORT_MAX.size() || port[0] == '0') return false;
	for (char const c : port)
		if (c < '0' || c > '9') return false;
	return port.size() < PORT_MAX.size() || port <= PORT_MAX;
}

// "", "/HOST" or "/HOST/PORT" of the link; what is missing is in the argument.
std::optional<Service_failure> resolve_tcp(
	Found_file const &file, Command_line const &command, Found_service &service)
{
	std::string_view rest = file.tcp;
	std::string_view argument = command.argument.value_or(std::string_view{});
	std::string const where = file.path + " -> " + std::string(TCP) + file.tcp;
	bool const has_host = !rest.empty();
	if (has_host) rest.remove_prefix(1);
	size_t const slash = rest.find('/');
	service.host = rest.substr(0, slash);
	if (has_host && service.host.empty()) return trouble(where + ": there is no host");
	if (slash != std::string_view::npos) {
		if (!argument.empty()) return trouble(where + ": such a service takes no argument");
		service.port = rest.substr(slash + 1);
	} else if (has_host) {
		service.port = argument;
	} else {
		size_t const plus = argument.rfind('+');
		if (plus == std::string_view::npos)
			return trouble(where + ": the argument must be a host, \"+\" and a port");
		service.host = argument.substr(0, plus);
		service.port = argument.substr(plus + 1);
		for (char &c : service.host)
			if (c == '+') c = ':';
	}
	if (!valid_port(service.port)) return trouble(where + ": no port from 1 to 65535 is given");
	return {};
}

} // namespace

Places Places::from_environment()
{
	return {environment_or(
				"QREXEC_SERVICE_PATH", "/run/qubes-rpc:/usr/local/etc/qubes-rpc:/etc/qubes-rpc"),
		environment_or("QUBES_RPC_CONFIG_PATH",
			"/run/qubes/rpc-config:/usr/local/etc/qubes/rpc-config:/etc/qubes/rpc-config")};
}

std::variant<Found_service, Service_failure> find_service(
	Places const &places, Command_line const &command)
{
	auto config = load_config(places.config, command);
	if (auto *failure = std::get_if<Service_failure>(&config)) return std::move(*failure);
	Search const found = find_for(places.services, command, true);
	if (auto const *failure = std::get_if<Service_failure>(&found)) return *failure;
	auto const *file = std::get_if<Found_file>(&found);
	if (!file)
		return Service_failure{EXIT_NO_SERVICE,
			"there is no service " + std::string(command.service) + " in " + places.services};
	Found_service service{.path = file->path, .config = std::get<Service_config>(config)};
	if (file->is_tcp) {
		service.kind = Found_service::Kind::TCP;
		if (auto failure = resolve_tcp(*file, command, service)) return std::move(*failure);
	} else if (S_ISSOCK(file->about.st_mode)) {
		service.kind = Found_service::Kind::SOCKET;
	} else if (!S_ISREG(file->about.st_mode) ||
		::faccessat(AT_FDCWD, file->path.c_str(), X_OK, AT_EACCESS) != 0) {
		return trouble(file->path + " is neither an executable file nor a socket");
	}
	return service;
}

bool needs_session(Found_service const &service, Command_line const &command)
{
	return service.config.wait_for_session && !command.nogui;
}

} // namespace bulkhead::qrexec
