#include "vfs/remote/mount.h"

#include "base/event.h"
#include "vfs/remote/limits.h"
#include "vfs/remote/output.h"
#include "vfs/remote/request_check.h"

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/uio.h>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace bulkhead::remote {

namespace {

constexpr unsigned MESSAGES_PER_ROUND = 64;
constexpr size_t SEND_BYTES = 1024; // as much room as is waited for at a time
constexpr int ERRNO_MAX = 511; // of the protocol
constexpr size_t POLLED_MAX = 4096; // files that the server may tell changes of
constexpr size_t INIT_LEAST = 24; // of the answer, see fuse_init_out

// What is asked of a kernel: what the session of vfs/fuse knows how to serve.
constexpr uint32_t INIT_FLAGS = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
	FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
	FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV | FUSE_MAX_PAGES;

template <typename T>
T read_as(Bytes bytes)
{
	T value{};
	copy_bytes({reinterpret_cast<uint8_t *>(&value), sizeof value}, bytes);
	return value;
}

} // namespace

struct Kernel_mount::Inside final : linux_host::Loop::Source
{
	linux_host::Loop &watcher;
	linux_host::Owned_fd const fuse;
	uint64_t const refuse_after_us;
	uint64_t refuse_from_us = NEVER_US;
	Event changed{}; // something can be read from the kernel, or the mount has ended
	bool readable = false;
	bool gone = false;

	std::vector<uint8_t> request{}; // room for one; it is read as a whole
	std::vector<uint8_t> init{}; // the kernel's first request
	fuse_init_out told{}; // our answer to it
	bool greeted = false; // whether that was given
	bool replayed = false; // this server was sent the kernel's first request by us
	std::unordered_set<uint64_t> under_way{};
	std::unordered_map<uint64_t, uint64_t>
		polled{}; // files' handles, and how the kernel calls them

	Stream *stream = nullptr;
	Output output{};
	fuse_out_header header{};
	size_t filled = 0; // of the header, then of the answer
	std::vector<uint8_t> body{};

	std::optional<Error> ended{}; // why the stream is of no more use
	Event finished{};
	Job_with_arena<4096> up_job;
	Job_with_arena<4096> down_job;
	Root up_root{};
	Root down_root{};

	Inside(linux_host::Loop &loop, linux_host::Owned_fd fd, uint64_t refuse)
		: watcher(loop),
		  fuse(std::move(fd)),
		  refuse_after_us(refuse),
		  request(IO_MAX + HEADER_ROOM),
		  up_job(loop.executor()),
		  down_job(loop.executor())
	{
		fcntl(fuse.value(), F_SETFL, fcntl(fuse.value(), F_GETFL) | O_NONBLOCK);
	}

	void ready(uint32_t events) override
	{
		readable = true;
		if (events & (EPOLLERR | EPOLLHUP)) gone = true;
		changed.raise_all();
	}

	/* Edges only: what isn't read at once may have to wait for room. */
	Attempt<void> watch()
	{
		if (loop()) return Ok{};
		readable = true;
		return watcher.add(*this, fuse.value(), EPOLLIN | EPOLLET);
	}

	bool to_refuse() const { return watcher.clock().now_us() >= refuse_from_us; }

	Attempt<Mutable_bytes> read_request();
	void note(fuse_in_header const &in, Bytes arguments);
	Attempt<void> write(fuse_out_header const &out, Bytes rest);
	Attempt<void> fail(uint64_t unique);
	void refuse_all();
	Attempt<void> answer(Bytes rest);
	Attempt<void> greet(Bytes rest);
	Attempt<void> check_header() const;
	Attempt<bool> take();
	Task<void> send(Job &job, Bytes message);
	Task<void> pass_requests(Job &job);
	Task<void> pass_answers(Job &job);
	Root run(Job &job, Task<void> task);
	Attempt<void> begin(Stream &with);
	void end();
};

/* Empty: there is none now. Errors: GONE. */
Attempt<Mutable_bytes> Kernel_mount::Inside::read_request()
{
	while (!gone) {
		ssize_t const size = ::read(fuse.value(), request.data(), request.size());
		if (size >= static_cast<ssize_t>(sizeof(fuse_in_header)))
			return std::span(request).first(static_cast<size_t>(size));
		if (size < 0 && errno == EAGAIN) {
			readable = false;
			return Mutable_bytes();
		}
		// ENOENT: it was interrupted just now.
		if (size < 0 && (errno == EINTR || errno == ENOENT)) continue;
		gone = true;
		changed.raise_all();
	}
	return Error::GONE;
}

/* Remembers what must be answered whatever becomes of the server. */
void Kernel_mount::Inside::note(fuse_in_header const &in, Bytes arguments)
{
	if (!unanswered(in.opcode)) under_way.insert(in.unique);
	if (in.opcode == FUSE_POLL && arguments.size() >= sizeof(fuse_poll_in)) {
		auto const poll = read_as<fuse_poll_in>(arguments);
		bool const told_later = poll.flags & FUSE_POLL_SCHEDULE_NOTIFY;
		if (told_later && polled.size() < POLLED_MAX) polled[poll.fh] = poll.kh;
	}
	if (in.opcode == FUSE_RELEASE && arguments.size() >= sizeof(fuse_release_in))
		polled.erase(read_as<fuse_release_in>(arguments).fh);
}

/* What the kernel makes of an answer is its business; only its end is ours. Error: GONE. */
Attempt<void> Kernel_mount::Inside::write(fuse_out_header const &out, Bytes rest)
{
	iovec const parts[]{{const_cast<fuse_out_header *>(&out), sizeof out},
		{const_cast<uint8_t *>(rest.data()), rest.size()}};
	ssize_t size = 0;
	do size = writev(fuse.value(), parts, rest.empty() ? 1 : 2);
	while (size < 0 && errno == EINTR);
	if (size >= 0 || (errno != ENODEV && errno != EPERM && errno != EPIPE)) return Ok{};
	gone = true;
	changed.raise_all();
	return Error::GONE;
}

Attempt<void> Kernel_mount::Inside::fail(uint64_t unique)
{
	fuse_out_header const out{.len = sizeof out, .error = -EIO, .unique = unique};
	return write(out, {});
}

/* Nobody is there who could answer. */
void Kernel_mount::Inside::refuse_all()
{
	for (;;) {
		Attempt<Mutable_bytes> const message = read_request();
		if (!message.ok() || message.value().empty()) return;
		auto const in = read_as<fuse_in_header>(message.value());
		if (in.opcode == FUSE_INIT)
			init.assign(message.value().begin(), message.value().end());
		else if (!unanswered(in.opcode))
			(void)fail(in.unique);
	}
}

/* The kernel may be asked for what its first server has offered, within what is known here. */
Attempt<void> Kernel_mount::Inside::greet(Bytes rest)
{
	fuse_init_out offer = read_as<fuse_init_out>(rest);
	if (rest.size() < INIT_LEAST || offer.major != FUSE_KERNEL_VERSION ||
		offer.minor < MINOR_LEAST || offer.max_write < 4096)
		return Error::IO;
	offer.flags &= INIT_FLAGS;
	if (greeted) {
		bool const enough = offer.max_write >= told.max_write && !(told.flags & ~offer.flags);
		return enough ? Attempt<void>(Ok{}) : Error::IO;
	}
	constexpr size_t PAGE = 4096; // as the kernel counts them, at least
	told = {};
	told.major = FUSE_KERNEL_VERSION;
	told.minor = offer.minor;
	told.max_readahead = offer.max_readahead;
	told.flags = offer.flags;
	told.max_background = offer.max_background;
	told.congestion_threshold = offer.congestion_threshold;
	told.time_gran = 1;
	told.max_write = static_cast<uint32_t>(std::min<size_t>(offer.max_write, IO_MAX));
	told.max_pages = static_cast<uint16_t>((told.max_write - 1) / PAGE + 1);
	greeted = true;
	fuse_out_header out = header;
	out.len = sizeof out + sizeof told;
	return write(out, {reinterpret_cast<uint8_t const *>(&told), sizeof told});
}

/* Passes on an answer that is there as a whole. Errors: GONE, IO. */
Attempt<void> Kernel_mount::Inside::answer(Bytes rest)
{
	if (header.unique == 0) return write(header, rest);
	under_way.erase(header.unique);
	bool const first = !init.empty() && header.unique == read_as<fuse_in_header>(init).unique;
	if (!first) return write(header, rest);
	if (!header.error) return greet(rest);
	return greeted ? Attempt<void>(Error::IO) : write(header, rest);
}

/* Error: IO. */
Attempt<void> Kernel_mount::Inside::check_header() const
{
	size_t const rest = header.len - sizeof header;
	if (header.len < sizeof header || rest > IO_MAX + HEADER_ROOM) return Error::IO;
	if (header.unique == 0) {
		// Of what a server can tell a kernel, ours tells only this.
		bool const poll =
			header.error == FUSE_NOTIFY_POLL && rest == sizeof(fuse_notify_poll_wakeup_out);
		return poll ? Attempt<void>(Ok{}) : Error::IO;
	}
	if (header.error > 0 || header.error < -ERRNO_MAX || (header.error && rest)) return Error::IO;
	return under_way.contains(header.unique) ? Attempt<void>(Ok{}) : Error::IO;
}

/* Takes an answer, or what is there of it, out of the stream; false if nothing is. */
Attempt<bool> Kernel_mount::Inside::take()
{
	Bytes there = TRY(stream->peek());
	if (there.empty()) return false;
	if (filled < sizeof header) {
		Mutable_bytes const to(reinterpret_cast<uint8_t *>(&header), sizeof header);
		size_t const size = copy_bytes(to.subspan(filled), there);
		stream->consume(size);
		filled += size;
		if (filled < sizeof header) return true;
		TRY(check_header());
		body.clear();
		if (header.len > sizeof header) return true;
	}
	size_t const whole = header.len - sizeof header;
	there = there.first(std::min(there.size(), whole - body.size()));
	if (whole && body.empty() && there.size() == whole) {
		// Straight from the stream to the kernel; what changes meanwhile are a file's bytes only.
		bool const plain = !init.empty() && header.unique != read_as<fuse_in_header>(init).unique;
		if (plain) {
			Attempt<void> const passed = answer(there);
			stream->consume(there.size());
			filled = 0;
			TRY(passed);
			return true;
		}
	}
	if (whole) {
		body.insert(body.end(), there.begin(), there.end());
		stream->consume(there.size());
	}
	if (body.size() < whole) return true;
	filled = 0;
	TRY(answer(body));
	return true;
}

Task<void> Kernel_mount::Inside::send(Job &job, Bytes message)
{
	for (;;) {
		message = message.subspan(output.put_what_fits(message));
		if (message.empty()) co_return Ok{};
		output.flush();
		size_t const wanted = std::min(message.size(), SEND_BYTES);
		Attempt<size_t> const room = co_await stream->wait_for_room(job, wanted);
		CO_TRY(room);
	}
}

Task<void> Kernel_mount::Inside::pass_requests(Job &job)
{
	if (replayed) {
		under_way.insert(read_as<fuse_in_header>(init).unique);
		CO_TRY(co_await send(job, init));
		output.flush();
	}
	for (unsigned passed = 0;;) {
		CO_TRY_ASSIGN(Mutable_bytes const message, read_request());
		if (message.empty()) {
			output.flush();
			passed = 0;
			while (!readable && !gone) CO_TRY(co_await changed.wait(job));
			continue;
		}
		auto const in = read_as<fuse_in_header>(message);
		if (in.opcode == FUSE_INIT) init.assign(message.begin(), message.end());
		note(in, message.subspan(sizeof in));
		CO_TRY(co_await send(job, message));
		if (++passed % MESSAGES_PER_ROUND == 0) {
			output.flush();
			co_await Yield{job};
		}
	}
}

Task<void> Kernel_mount::Inside::pass_answers(Job &job)
{
	for (;;) {
		Attempt<bool> taken = true;
		for (unsigned i = 0; i < MESSAGES_PER_ROUND && taken.ok() && taken.value(); ++i)
			taken = take();
		CO_TRY(taken);
		if (taken.value()) {
			co_await Yield{job};
			continue;
		}
		Attempt<size_t> const there = co_await stream->wait_for_data(job);
		CO_TRY(there);
		if (there.value() == 0) co_return Error::BROKEN_PIPE;
	}
}

Root Kernel_mount::Inside::run(Job &, Task<void> task)
{
	Attempt<void> const result = co_await task;
	if (!ended) ended = result.ok() ? Error::BROKEN_PIPE : result.error();
	finished.raise_all();
}

Attempt<void> Kernel_mount::Inside::begin(Stream &with)
{
	stream = &with;
	output.use(stream);
	filled = 0;
	body.clear();
	replayed = !init.empty();
	refuse_from_us = NEVER_US;
	ended.reset();
	down_job.spin = LOOKS;
	up_root = run(up_job, pass_requests(up_job));
	down_root = run(down_job, pass_answers(down_job));
	TRY(up_root.start(up_job));
	return down_root.start(down_job);
}

/* The server is gone: what it was asked fails, and who waits for its files is told. */
void Kernel_mount::Inside::end()
{
	up_root = Root();
	down_root = Root();
	up_job.reset();
	down_job.reset();
	stream = nullptr;
	output.use(nullptr);
	uint64_t const first = init.empty() ? 0 : read_as<fuse_in_header>(init).unique;
	for (uint64_t const unique : under_way)
		if (unique != first) (void)fail(unique);
	under_way.clear();
	for (auto const &[handle, kernel_handle] : polled) {
		fuse_notify_poll_wakeup_out const wakeup{.kh = kernel_handle};
		fuse_out_header const out{
			.len = sizeof out + sizeof wakeup, .error = FUSE_NOTIFY_POLL, .unique = 0};
		(void)write(out, {reinterpret_cast<uint8_t const *>(&wakeup), sizeof wakeup});
	}
	polled.clear();
	refuse_from_us = deadline_after_us(watcher.clock().now_us(), refuse_after_us);
}

Kernel_mount::Kernel_mount(
	linux_host::Loop &loop, linux_host::Owned_fd fuse, uint64_t refuse_after_us)
	: _inside(std::make_unique<Inside>(loop, std::move(fuse), refuse_after_us))
{}

Kernel_mount::~Kernel_mount() = default;

Task<void> Kernel_mount::serve(Job &job, Stream &stream)
{
	Inside &inside = *_inside;
	BULKHEAD_ASSERT(!inside.stream);
	CO_TRY(inside.watch());
	struct End
	{
		Inside &inside;
		~End() { inside.end(); }
	};
	{
		End const end{inside};
		CO_TRY(inside.begin(stream));
		while (!inside.ended) CO_TRY(co_await inside.finished.wait(job));
	}
	if (inside.gone) co_return Error::GONE;
	co_return Failure{*inside.ended};
}

Task<void> Kernel_mount::wait_without_server(Job &job, uint64_t until_us)
{
	Inside &inside = *_inside;
	CO_TRY(inside.watch());
	if (inside.refuse_from_us == NEVER_US)
		inside.refuse_from_us =
			deadline_after_us(inside.watcher.clock().now_us(), inside.refuse_after_us);
	for (;;) {
		if (inside.to_refuse() && inside.readable) inside.refuse_all();
		if (inside.gone) co_return Error::GONE;
		uint64_t const now_us = inside.watcher.clock().now_us();
		if (now_us >= until_us) co_return Ok{};
		uint64_t const wake_us =
			inside.to_refuse() ? until_us : std::min(until_us, inside.refuse_from_us);
		Attempt<void> const waited = co_await inside.changed.wait(job, wake_us);
		if (!waited.ok() && waited.error() != Error::TIMEOUT) co_return waited;
	}
}

} // namespace bulkhead::remote
