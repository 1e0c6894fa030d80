#include "component/qrexec/daemon/starter.h"

#include "component/qrexec/client/connect.h"
#include "component/qrexec/client/qubesd.h"
#include "component/qrexec/daemon/child.h"
#include "component/qrexec/host/log.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::qrexec {
namespace {

constexpr std::string_view DISPOSABLE = "@dispvm:";

bool ask_daemon(
	Link &link, Settings const &settings, std::string const &target, std::string const &command)
{
	auto const begun = link.ask_daemon(settings.socket_directory, target, Type::EXEC_CMDLINE,
		Exec_params{settings.domain, 0}, command);
	if (begun.ok()) return finish_asking(link, target);
	log(link.message());
	return false;
}

// False if nobody waits for it any more.
bool report(int pipe, Exec_params answer)
{
	std::array<uint8_t, Exec_params::BYTES> bytes{};
	encode(answer, std::span(bytes));
	return write(pipe, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
}

// Of the process: from qubesd to the end of a disposable.
void bring_up(Settings const &settings, std::string target, std::string const &command, int pipe)
{
	auto const from = template_of_disposable(target);
	bool const disposable = from.has_value();
	if (disposable) target = create_disposable(*from);
	if (target.empty()) return;
	Link link;
	bool const asked = start_domain(target) && ask_daemon(link, settings, target, command);
	bool const told = asked && report(pipe, link.answer());
	close(pipe);
	if (!disposable) return;
	if (told) wait_for_end(link);
	kill_domain(target);
}

} // namespace

std::optional<std::string_view> template_of_disposable(std::string_view target)
{
	if (!target.starts_with(DISPOSABLE)) return {};
	return target.substr(DISPOSABLE.size());
}

bool Starter::start(Settings const &settings, std::string const &target, std::string const &command)
{
	std::array<int, 2> ends{};
	if (pipe2(ends.data(), O_CLOEXEC) != 0) return false;
	_pipe.reset(ends[0]);
	linux_host::Owned_fd const other{ends[1]};
	(void)fcntl(_pipe.value(), F_SETFL, O_NONBLOCK);
	pid_t const process = fork_child(settings, other.value());
	if (process == 0) {
		bring_up(settings, target, command, other.value());
		_exit(0);
	}
	return process > 0 && _loop.add(*this, _pipe.value(), EPOLLIN).ok();
}

void Starter::ready(uint32_t)
{
	std::array<uint8_t, Exec_params::BYTES> bytes{};
	ssize_t const n = read(_pipe.value(), bytes.data(), bytes.size());
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	_loop.remove(*this);
	_pipe.reset();
	std::optional<Exec_params> answer;
	if (n == static_cast<ssize_t>(bytes.size())) answer = decode_exec_params(bytes);
	_waiter.domain_started(answer);
}

} // namespace bulkhead::qrexec
