#include "component/qrexec/policy_daemon/system_source.h"

#include "component/qrexec/policy_daemon/journal.h"
#include "sdk/qrexec/local_socket.h"
#include "tool/policy/host_files.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace bulkhead::qrexec {

namespace {

constexpr std::string_view REQUEST{"internal.GetSystemInfo+ dom0 name dom0\0", 39};
constexpr size_t ANSWER_MAX = System_info::TEXT_MAX;

} // namespace

System_source::System_source(
	linux_host::Loop &loop, Setting &setting, Log_sink &journal, Options options)
	: _loop(loop),
	  _setting(setting),
	  _journal(journal),
	  _options(std::move(options)),
	  _watch([this] { _load(); }),
	  _patience([this] { _finish("qubesd doesn't answer"); })
{}

System_source::~System_source() { _loop.remove(*this); }

Attempt<void> System_source::start()
{
	if (_options.file.empty()) return _patience.attach(_loop);
	TRY(_watch.attach(_loop));
	_load();
	return Ok{};
}

bool System_source::fresh() const
{
	if (!_options.file.empty()) return true;
	if (!_known_us || _options.max_age_ms == 0) return false;
	return _loop.clock().now_us() - *_known_us <= _options.max_age_ms * 1000;
}

void System_source::wait(Waiter &waiter)
{
	_waiting.push_back(&waiter);
	if (!_socket) _ask();
}

void System_source::forget(Waiter &waiter)
{
	for (auto *const list : {&_asking, &_waiting, &_telling}) std::erase(*list, &waiter);
}

void System_source::reload()
{
	_last.clear();
	_known_us.reset();
	if (!_options.file.empty()) _load();
}

void System_source::_load()
{
	tool::Host_files files;
	_watch.begin();
	_watch.file(_options.file);
	auto const text = files.read(_options.file);
	_watch.end();
	if (!text.ok())
		_setting.set_trouble(_options.file + ": " + std::string(name_of(text.error())));
	else
		_take(text.value());
	if (!_setting.trouble().empty())
		_journal.log(Level::ERROR,
			printable("domains: " + _options.file + ": " + _setting.trouble() +
				": everything is denied until mended"));
}

void System_source::_take(std::string_view text)
{
	if (text == _last && _setting.trouble().empty()) return;
	auto parsed = parse_system_info(_setting.allocator(), text);
	if (System_info *const info = std::get_if<System_info>(&parsed))
		_setting.set_system(std::move(*info));
	else
		_setting.set_trouble(std::get<std::string>(parsed));
	_last = text;
}

void System_source::_ask()
{
	_asking.swap(_waiting);
	_received.clear();
	_to_send = REQUEST;
	_socket.reset();
	int const number = connect_to_local(_options.qubesd, _socket);
	if (!_socket || !_loop.add(*this, _socket.value(), EPOLLIN | EPOLLOUT).ok()) {
		std::string const reason = number ? strerror(number) : "out of resources";
		return _finish(_options.qubesd + ": " + reason + "; is qubesd running?");
	}
	_patience.start(PATIENCE_MS);
}

bool System_source::_send()
{
	ssize_t const sent =
		::send(_socket.value(), _to_send.data(), _to_send.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0) return errno == EAGAIN || errno == EINTR;
	_to_send.erase(0, static_cast<size_t>(sent));
	if (!_to_send.empty()) return true;
	shutdown(_socket.value(), SHUT_WR);
	return _loop.change(*this, EPOLLIN).ok();
}

/* False once the answer has ended. */
bool System_source::_receive()
{
	char part[65536];
	ssize_t const size = recv(_socket.value(), part, sizeof(part), MSG_DONTWAIT);
	if (size < 0) return errno == EAGAIN || errno == EINTR;
	_received.append(part, static_cast<size_t>(size));
	return size > 0 && _received.size() <= ANSWER_MAX;
}

void System_source::ready(uint32_t events)
{
	if (!_to_send.empty() && !_send()) return _finish("qubesd has closed without an answer");
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || _receive()) return;
	if (_received.size() > ANSWER_MAX) return _finish("qubesd's answer is too long");
	auto const answer = parse_qubesd_answer(_received);
	if (auto const *const trouble = std::get_if<std::string>(&answer)) return _finish(*trouble);
	_take(std::get<std::string_view>(answer));
	_finish("");
}

/* Tells everybody who has waited for this request; those that came since have another one. */
void System_source::_finish(std::string trouble)
{
	_loop.remove(*this);
	_socket.reset();
	_patience.stop();
	if (!trouble.empty()) _setting.set_trouble(std::move(trouble));
	_known_us.reset();
	if (_setting.trouble().empty()) _known_us = _loop.clock().now_us();
	// Who is told may ask anew, so that we are here again before the others are told.
	_telling.insert(_telling.end(), _asking.begin(), _asking.end());
	_asking.clear();
	while (!_telling.empty()) {
		Waiter *const next = _telling.front();
		_telling.erase(_telling.begin());
		next->system_known();
	}
	if (!_waiting.empty() && !_socket) _ask();
}

} // namespace bulkhead::qrexec
