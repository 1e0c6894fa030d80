#include "tool/domains/call.h"

#include "component/qrexec/host/process.h"
#include "component/qrexec/host/relay.h"
#include "component/qrexec/host/service.h"
#include "sdk/libvchan/shm_transport.h"
#include "tool/domains/control.h"
#include "tool/domains/refusal.h"
#include "tool/report.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

using qrexec::Local_end;

// As a shell has it of a filter whose output nobody reads any more.
constexpr int EXIT_UNREAD = 128 + SIGPIPE;

int trouble(std::string what, std::string remedy = {})
{
	report({Exit::FAILURE, std::move(what), std::move(remedy)});
	return qrexec::EXIT_TROUBLE;
}

class Caller final : private qrexec::Relay::Finished
{
private:
	linux_host::Loop _loop{};
	Call_options const &_options;
	std::optional<qrexec::Relay> _relay{};
	std::optional<qrexec::Ending> _ending{};

	void finished(qrexec::Relay &, qrexec::Ending const &ending) override { _ending = ending; }

	/* What is at this end: a local program, or our own input and output. */
	std::optional<Local_end> _local_end()
	{
		Local_end local{};
		if (_options.program.empty()) {
			local.to.reset(STDOUT_FILENO);
			local.from.reset(STDIN_FILENO);
			return local;
		}
		auto started = qrexec::start_local_program(_options.program);
		if (auto const *const failure = std::get_if<qrexec::Service_failure>(&started)) {
			trouble(failure->message, "the program's whole path");
			return {};
		}
		return std::move(std::get<Local_end>(started));
	}

public:
	explicit Caller(Call_options const &options) : _options(options) {}

	int run(linux_host::Channel_end end)
	{
		auto transport = std::make_unique<sdk::Shm_transport>();
		if (int const error = transport->adopt(std::move(end)))
			return trouble(fmt::format("the channel: {}", strerror(error)));
		std::optional<Local_end> local = _local_end();
		if (!local) return qrexec::EXIT_TROUBLE;
		bool const terminal = _options.program.empty() && isatty(STDOUT_FILENO);
		qrexec::Relay_options relay{};
		relay.replace_characters = terminal;
		relay.replace_error_characters = isatty(STDERR_FILENO);
		relay.errors_to = STDERR_FILENO;
		relay.ends_without_reader = _options.program.empty();
		qrexec::Relay::Finished &finished = *this;
		_relay.emplace(_loop,
			std::make_unique<qrexec::Data_channel>(std::move(transport), qrexec::Side::CALLER),
			qrexec::Side::CALLER, std::move(*local), relay, finished);
		if (!_loop.usable().ok() || !_relay->start().ok())
			return trouble("too many open files", "ulimit -n with a larger number");
		while (!_ending) _loop.poll(NEVER_US);
		if (!_ending->message.empty()) trouble(_ending->message);
		bool const unread = _options.program.empty() && _ending->unwritten == EPIPE;
		return unread ? EXIT_UNREAD : _ending->exit_code;
	}
};

/* The same line as qrexec-client-vm's, which tools compare; then why. */
int tell_refused(Control &control, Call_options const &options)
{
	fmt::print(stderr, "Request refused\n");
	if (std::optional<Status> const status = status_of(control))
		if (auto const why = why_refused(*status, options.target, options.service)) report(*why);
	return qrexec::EXIT_REFUSED;
}

} // namespace

int call_service(Call_options const &options)
{
	qrexec::prepare_process();
	auto opened = Control::open(options.system);
	if (!opened.ok()) {
		report(opened.error());
		return qrexec::EXIT_TROUBLE;
	}
	Control &control = opened.value();
	auto const asked = control.call(options.target, options.service);
	if (!asked.ok()) {
		report(asked.error());
		return qrexec::EXIT_TROUBLE;
	}
	auto call = control.wait();
	if (!call.ok()) {
		report(call.error());
		return qrexec::EXIT_TROUBLE;
	}
	if (call.value().state == Control::Call::State::REFUSED) return tell_refused(control, options);
	int const exit_code = Caller(options).run(std::move(call.value().end));
	control.ended(call.value().params);
	return exit_code;
}

} // namespace bulkhead::tool
