#include "sdk/qrexec/loop_call.h"

#include "platform/linux/errno.h"

#include <cerrno>

namespace bulkhead::qrexec {
namespace {

using linux_host::error_of_errno;

/* Counts a job for as long as it is there, however it goes. */
class Counted
{
private:
	unsigned &_count;

public:
	explicit Counted(unsigned &count) : _count(count) { ++_count; }
	Counted(Counted const &) = delete;
	Counted &operator=(Counted const &) = delete;
	~Counted() { --_count; }
};

} // namespace

void Loop_call::ready(uint32_t)
{
	_streams.call().look();
	_changed.raise_all();
}

template <typename ATTEMPT>
Task<size_t> Loop_call::_until(
	Job &job, bool to_read, bool to_write, uint64_t until_us, ATTEMPT attempt)
{
	while (true) {
		uint64_t const news = _streams.news();
		ssize_t result = attempt();
		if (result == -EAGAIN) {
			_streams.call().arm(to_read, to_write);
			result = attempt(); // what came before the other side could know that we wait
		}
		// Others wait for what was taken in here.
		if (_streams.news() != news) _changed.raise_all();
		// A job that reads the other stream makes room.
		if (result == -ENOBUFS && _readers > 1) result = -EAGAIN;
		if (result >= 0) co_return static_cast<size_t>(result);
		if (result != -EAGAIN) co_return Failure{error_of_errno(static_cast<int>(-result))};
		CO_TRY(co_await _changed.wait(job, until_us));
	}
}

Task<size_t> Loop_call::start(Job &job, Wanted_call const &wanted, uint64_t until_us)
{
	_streams.call().start(wanted);
	if (int const error = _streams.call().error_number()) return error_of_errno(error);
	if (auto const added = _runner.add(*this, _streams.call().fd(), EPOLLIN); !added.ok())
		return added.error();
	return _until(job, false, false, until_us, [this] { return _streams.opened(); });
}

Task<size_t> Loop_call::read(Job &job, Stream stream, Mutable_bytes to, uint64_t until_us)
{
	Counted const reader(_readers);
	auto const read = [=, this] { return _streams.read(stream, to); };
	co_return co_await _until(job, true, false, until_us, read);
}

Task<size_t> Loop_call::write(Job &job, Bytes from, uint64_t until_us)
{
	size_t const all = from.size();
	while (!from.empty()) {
		auto const write = [&] { return _streams.write(from); };
		CO_TRY_ASSIGN(size_t const n, co_await _until(job, false, true, until_us, write));
		from = from.subspan(n);
	}
	co_return all;
}

Task<size_t> Loop_call::finish_input(Job &job, uint64_t until_us)
{
	return _until(job, false, true, until_us, [this] { return _streams.finish_input(); });
}

Task<int> Loop_call::exit_code(Job &job, uint64_t until_us)
{
	auto const ended = [this] { return _streams.ended(); };
	Counted const reader(_readers);
	CO_TRY(co_await _until(job, true, false, until_us, ended));
	co_return _streams.call().exit_code();
}

void Loop_call::cancel()
{
	_streams.call().cancel();
	_changed.raise_all();
}

Attempt<void> Service_listener::listen(std::string const &path, mode_t mode, bool descriptor)
{
	if (int const error = _socket.listen(path, mode, descriptor)) return error_of_errno(error);
	return _runner.add(*this, _socket.fd(), 0);
}

// Told once for each job that waits: what is there stays there.
void Service_listener::ready(uint32_t)
{
	static_cast<void>(_runner.change(*this, 0));
	_changed.raise_all();
}

Task<std::unique_ptr<Service_request>> Service_listener::accept(Job &job, uint64_t until_us)
{
	while (true) {
		std::unique_ptr<Service_request> request;
		if (int const error = _socket.accept(request)) co_return Failure{error_of_errno(error)};
		if (request) co_return std::move(request);
		CO_TRY(_runner.change(*this, EPOLLIN));
		CO_TRY(co_await _changed.wait(job, until_us));
	}
}

} // namespace bulkhead::qrexec
