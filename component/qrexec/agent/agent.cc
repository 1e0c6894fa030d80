#include "component/qrexec/agent/agent.h"

#include "component/qrexec/host/log.h"

#include <algorithm>
#include <sys/resource.h>

namespace bulkhead::qrexec {

namespace {

// Of questions that the daemon doesn't read: more are refused. It has room for all programs that
// ask at once, but not for those that ask and go for ever.
constexpr size_t UNSENT_MAX = 16 * 1024 * 1024;

// Half of the descriptors are for programs that ask, the rest is for calls that are served.
size_t programs_max()
{
	rlimit files{};
	if (getrlimit(RLIMIT_NOFILE, &files) != 0) return Programs::PROGRAMS_MAX;
	return std::min<rlim_t>(Programs::PROGRAMS_MAX, files.rlim_cur / 2);
}

} // namespace

Agent::Agent(linux_host::Loop &loop, Serving serving, Agent_options options,
	std::unique_ptr<sdk::Transport> (*opener)(std::string &))
	: _loop(loop),
	  _options(std::move(options)),
	  _calls(loop, std::move(serving), _options.fork_servers, _options.files, *this),
	  _control(loop, *this, opener),
	  _programs(loop, *this, programs_max())
{}

bool Agent::start(std::string &why)
{
	_calls.prepare();
	if (!_control.start(why).ok()) return false;
	Accepted &accepted = *this;
	_server.emplace(_loop, accepted);
	// Whoever is in this domain may ask: what comes of it is the policy's business.
	if (_server->start(_options.socket, 0666).ok()) return true;
	why = _server->message();
	return false;
}

void Agent::stop()
{
	_server.reset();
	_programs.leave();
	_calls.leave_others();
	_control.stop();
}

void Agent::daemon_came()
{
	if (_options.ready) std::exchange(_options.ready, {})();
	_programs.ask_again();
}

void Agent::daemon_left(std::string_view why)
{
	log("the connection to the daemon has ended", why.empty() ? "" : ": ", why,
		"; waiting for the next one");
}

void Agent::broken(std::string_view why)
{
	log("no daemon can connect any more: ", why);
	_broken = true;
	_loop.stop();
}

void Agent::told(Message_reader::Message const &message)
{
	switch (message.type) {
	case Type::EXEC_CMDLINE:
	case Type::JUST_EXEC: return _serve(message);
	case Type::SERVICE_CONNECT: {
		auto const ident = decode_name(message.body.subspan(Exec_params::BYTES));
		return _connect(decode_exec_params(message.body), ident.value_or(""));
	}
	case Type::SERVICE_REFUSED: {
		std::string_view const ident = decode_name(message.body).value_or("");
		if (!_programs.refuse(ident)) log("the daemon refuses what nobody asks for: ", ident);
		return;
	}
	default: BULKHEAD_ASSERT(false); // the reader lets no other through
	}
}

void Agent::_serve(Message_reader::Message const &message)
{
	if (_options.used) std::exchange(_options.used, {})();
	Bytes const line = message.body.subspan(Exec_params::BYTES);
	std::string_view const text{reinterpret_cast<char const *>(line.data()), line.size()};
	auto request = std::make_unique<Service_request>();
	request->token = ++_last;
	request->type = message.type;
	request->params = decode_exec_params(message.body);
	request->line = text.substr(0, text.find('\0'));
	_served.emplace(request->token, Served{request->params, _control.daemon()});
	_calls.serve(std::move(request));
}

void Agent::_connect(Exec_params call, std::string_view ident)
{
	if (_options.used) std::exchange(_options.used, {})();
	if (_programs.accept(ident, call, _control.daemon())) return;
	// The program has left meanwhile, and its port is free again.
	log("nobody waits for the answer to ", ident);
	_tell_end(call, _control.daemon());
}

void Agent::_tell_end(Exec_params call, uint64_t daemon)
{
	// A daemon knows nothing of its predecessor's ports: they are others' by now.
	if (daemon != _control.daemon()) return;
	std::array<uint8_t, Header::BYTES + Exec_params::BYTES> message{};
	encode(Header{static_cast<uint32_t>(Type::CONNECTION_TERMINATED), Exec_params::BYTES},
		std::span(message).first<Header::BYTES>());
	encode(call, std::span(message).last<Exec_params::BYTES>());
	_control.send(message);
}

void Agent::program_ended(Exec_params call, uint64_t daemon) { _tell_end(call, daemon); }

void Agent::call_ended(uint64_t token)
{
	auto const found = _served.find(token);
	BULKHEAD_ASSERT(found != _served.end());
	Served const served = found->second;
	_served.erase(found);
	_tell_end(served.call, served.daemon);
}

void Agent::asked(uint64_t number)
{
	// Without a daemon it is asked when one comes.
	if (_control.version() == 0) return;
	auto question = _programs.question(number);
	if (!question) return;
	if (_control.unsent() > UNSENT_MAX) {
		log("a call is refused: the daemon doesn't read what it is asked");
		return _programs.refuse(number);
	}
	question->trigger.ident = question->ident;
	bool const source_lost = !question->trigger.source.empty() && _control.version() < 4;
	std::array<uint8_t, CONTROL_RING_BYTES> message{};
	size_t const size =
		source_lost ? 0 : encode_trigger(_control.version(), question->trigger, message);
	if (size > 0) return _control.send(std::span(message).first(size));
	log("a call of ", question->trigger.service.substr(0, 64), " (",
		question->trigger.service.size(), " bytes) is refused: the daemon, of version ",
		_control.version(),
		source_lost ? ", knows no calls for others" : ", takes no names as long as its names");
	_programs.refuse(number);
}

void Agent::accepted(Unix_server &, linux_host::Owned_fd connection)
{
	_programs.add(std::move(connection));
}

} // namespace bulkhead::qrexec
