#include "vfs/remote/server.h"

#include "base/event.h"
#include "vfs/remote/input.h"
#include "vfs/remote/limits.h"
#include "vfs/remote/output.h"
#include "vfs/remote/request_check.h"

#include <cerrno>
#include <cstring>
#include <sys/random.h>
#include <unordered_set>

namespace bulkhead::remote {

namespace {

constexpr unsigned REQUESTS_PER_ROUND = 64;
constexpr uint64_t SETTLE_US = 2'000'000;
constexpr size_t DRAIN_BYTES = 1024; // as much room as is waited for at a time

uint32_t random_generation()
{
	uint32_t value = 0;
	if (getrandom(&value, sizeof value, GRND_NONBLOCK) == sizeof value) return value;
	// The kernel has just started; the address of a stack differs as well.
	return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(&value) >> 4);
}

fuse::Session::Limits limits_of(fuse::Session::Limits limits)
{
	limits.io_bytes = std::min(limits.io_bytes, IO_MAX);
	if (!limits.generation) limits.generation = random_generation();
	return limits;
}

} // namespace

struct Server::Inside final : fuse::Outlet
{
	enum class Next : uint8_t { MORE, NOTHING, END };

	Executor &executor;
	fuse::Session::Limits const limits;
	fuse::Session session;
	Job_with_arena<4096> drain_job;
	Event changed{}; // there is a backlog, or none any more
	Input input{};
	Output output{};
	Stream *stream = nullptr; // null: nobody hears an answer
	std::vector<uint8_t> backlog{}; // answers that found no room
	size_t drained = 0; // of the backlog

	fuse_in_header header{};
	Mutable_bytes request{}; // the one that is being read, in the session's memory
	size_t filled = 0; // of the header, then of the request

	std::unordered_set<uint64_t> waiting{}; // requests that will be answered later
	uint64_t current = 0; // the request that is being processed
	bool answered = false;
	bool batching = false;
	std::optional<Error> broken{}; // why answers don't get through
	Root drain_root{};

	Inside(Executor &e, Ref<vfs::Node> root, std::string label, fuse::Session::Limits const &wanted)
		: executor(e),
		  limits(limits_of(wanted)),
		  session(e, std::move(root), std::move(label), limits),
		  drain_job(e)
	{}

	~Inside()
	{
		stream = nullptr;
		session.drop_all();
	}

	bool stalled() const { return drained < backlog.size(); }

	void answer(std::span<iovec const> parts) override
	{
		if (!stream) return;
		fuse_out_header out{};
		std::memcpy(&out, parts[0].iov_base, sizeof out);
		if (out.unique == current)
			answered = true;
		else if (out.unique)
			waiting.erase(out.unique);
		for (iovec const &part : parts) {
			Bytes bytes(static_cast<uint8_t const *>(part.iov_base), part.iov_len);
			if (!stalled()) bytes = bytes.subspan(output.put_what_fits(bytes));
			backlog.insert(backlog.end(), bytes.begin(), bytes.end());
		}
		if (!batching || stalled()) output.flush();
		if (stalled()) changed.raise_all();
	}

	void refuse(int error_number)
	{
		fuse_out_header out{.len = sizeof out, .error = -error_number, .unique = header.unique};
		iovec const part{&out, sizeof out};
		answer({&part, 1});
	}

	bool read_at_once();
	Attempt<Next> handle();
	Attempt<Next> take();
	void drain();
	Root drain_later(Job &job);
	Task<void> serve(Job &job);
	Task<void> end(Job &job);
	void leave_stream()
	{
		drain_root = Root();
		stream = nullptr;
		input.use(nullptr);
		output.use(nullptr);
	}
};

/* The most frequent request of all goes straight from a plain file into the stream. */
bool Server::Inside::read_at_once()
{
	fuse_read_in read{};
	std::memcpy(&read, request.data() + sizeof header, sizeof read);
	size_t const size = std::min<size_t>(read.size, limits.io_bytes);
	fuse_out_header out{.len = 0, .error = 0, .unique = header.unique};
	if (size == 0 || stalled() || !output.fits(sizeof out + size)) return false;
	size_t done = 0;
	for (Mutable_bytes const to : output.place(sizeof out, size)) {
		if (to.empty()) break;
		auto const result = session.read_at_once(read.fh, to, read.offset + done);
		if (!result || !result->ok()) return false;
		done += std::min(result->value(), to.size());
		if (result->value() < to.size()) break;
	}
	out.len = static_cast<uint32_t>(sizeof out + done);
	output.put_at(0, {reinterpret_cast<uint8_t const *>(&out), sizeof out});
	output.advance(out.len);
	return true;
}

/* Of a request that is there as a whole. */
Attempt<Server::Inside::Next> Server::Inside::handle()
{
	Bytes const arguments = Bytes(request).subspan(sizeof header);
	if (int const fault = fault_of(header, arguments, limits.io_bytes)) {
		if (!unanswered(header.opcode)) refuse(fault);
		return Next::MORE;
	}
	if (header.opcode == FUSE_DESTROY) {
		refuse(0);
		return Next::END;
	}
	if (header.opcode == FUSE_INTERRUPT) {
		// libfuse would remember those that name nothing.
		uint64_t unique = 0;
		std::memcpy(&unique, arguments.data(), sizeof unique);
		if (waiting.contains(unique)) session.process(request.size());
		return Next::MORE;
	}
	if (header.opcode == FUSE_READ && read_at_once()) return Next::MORE;
	bool const wants_answer = !unanswered(header.opcode);
	if (wants_answer && (header.unique == 0 || waiting.contains(header.unique))) return Error::IO;
	current = header.unique;
	answered = false;
	session.process(request.size());
	if (wants_answer && !answered) waiting.insert(header.unique);
	current = 0;
	return Next::MORE;
}

/* Takes a request, or what is there of it, out of the stream. */
Attempt<Server::Inside::Next> Server::Inside::take()
{
	// All that was asked is answered: the other side can go on while we look.
	if (input.exhausted()) output.flush();
	Bytes const there = TRY(input.look());
	if (there.empty()) return Next::NOTHING;
	Mutable_bytes const whole = request.empty()
		? Mutable_bytes(reinterpret_cast<uint8_t *>(&header), sizeof header)
		: request;
	size_t const size = copy_bytes(whole.subspan(filled), there);
	input.take(size);
	filled += size;
	if (filled < whole.size()) return Next::MORE;
	if (request.empty()) {
		if (header.len < sizeof header || header.len > limits.io_bytes + HEADER_ROOM)
			return Error::IO;
		// The request of an older client is shorter than libfuse's; zeros follow it.
		size_t const room =
			header.opcode == FUSE_INIT ? std::max<size_t>(header.len, INIT_BYTES) : header.len;
		request = session.input(room);
		if (request.empty()) return Error::OUT_OF_MEMORY;
		fill_bytes(request.subspan(header.len), 0);
		request = request.first(header.len);
		std::memcpy(request.data(), &header, sizeof header);
		if (filled < request.size()) return Next::MORE;
	}
	Attempt<Next> const next = handle();
	request = {};
	filled = 0;
	return next;
}

void Server::Inside::drain()
{
	drained += output.put_what_fits(Bytes(backlog).subspan(drained));
	output.flush();
	if (stalled()) return;
	backlog.clear();
	backlog.shrink_to_fit();
	drained = 0;
	changed.raise_all();
}

/* Answers may find no room while nobody reads requests, as their jobs end when they end. */
Root Server::Inside::drain_later(Job &job)
{
	for (;;) {
		Attempt<void> waited = Ok{};
		while (waited.ok() && !stalled()) waited = co_await changed.wait(job);
		if (!waited.ok()) co_return;
		size_t const wanted = std::min(DRAIN_BYTES, backlog.size() - drained);
		Attempt<size_t> const room = co_await stream->wait_for_room(job, wanted);
		if (!room.ok()) {
			broken = room.error();
			changed.raise_all();
			co_return;
		}
		drain();
	}
}

Task<void> Server::Inside::serve(Job &job)
{
	for (;;) {
		Attempt<Next> next = Next::MORE;
		batching = true;
		unsigned taken = 0;
		while (!stalled() && ++taken <= REQUESTS_PER_ROUND) {
			next = take();
			if (!next.ok() || next.value() != Next::MORE) break;
		}
		input.give_back();
		// What takes several steps mostly ends here, and its answer goes along. And others have
		// their turn, as who asks without a pause never has us sleep.
		co_await Yield{job};
		batching = false;
		output.flush();
		CO_TRY(next);
		if (next.value() == Next::END) co_return Ok{};
		if (stalled()) {
			while (stalled() && !broken) CO_TRY(co_await changed.wait(job));
			if (broken) co_return Failure{*broken};
			continue;
		}
		if (next.value() == Next::MORE) continue;
		Attempt<size_t> const there = co_await stream->wait_for_data(job);
		CO_TRY(there);
		if (there.value() == 0) co_return Ok{};
	}
}

Task<void> Server::Inside::end(Job &job)
{
	leave_stream();
	Job::Shield const shield(job, NEVER_US);
	Clock const &clock = executor.clock;
	session.cancel_all();
	(void)co_await session.settle(job, deadline_after_us(clock.now_us(), SETTLE_US));
	session.close_all();
	(void)co_await session.settle(job, deadline_after_us(clock.now_us(), SETTLE_US));
	session.drop_all();
	co_return Ok{};
}

Server::Server(
	Executor &executor, Ref<vfs::Node> root, std::string label, fuse::Session::Limits limits)
	: _inside(std::make_unique<Inside>(executor, std::move(root), std::move(label), limits))
{}

Server::~Server() = default;

Task<void> Server::serve(Job &job, Stream &stream)
{
	Inside &inside = *_inside;
	BULKHEAD_ASSERT(!inside.session.libfuse());
	if (!inside.session.make_unmounted(inside)) co_return Error::OUT_OF_MEMORY;
	inside.stream = &stream;
	inside.input.use(&stream);
	inside.output.use(&stream);
	inside.drain_root = inside.drain_later(inside.drain_job);
	struct Leave
	{
		Inside &inside;
		~Leave() { inside.leave_stream(); }
	};
	Leave const leave{inside};
	CO_TRY(inside.drain_root.start(inside.drain_job));
	Attempt<void> const result = co_await inside.serve(job);
	(void)co_await inside.end(job);
	co_return result;
}

size_t Server::pending() const { return _inside->session.pending(); }

size_t Server::open_files() const { return _inside->session.open_files(); }

} // namespace bulkhead::remote
