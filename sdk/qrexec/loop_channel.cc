#include "sdk/qrexec/loop_channel.h"

#include "platform/linux/vchan/sealed_memory.h"
#include "sdk/qrexec/end_of_turn.h"
#include "vchan/endpoint.h"
#include "vchan/explain/meaning.h"

#include <array>
#include <sys/stat.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Bell;
using linux_host::Channel_end;
using linux_host::Connect_error;
using linux_host::Loop;
using linux_host::Sealed_memory;
using Pieces = vchan::Pieces<Mutable_bytes>;

constexpr size_t NUMBER_BYTES = Header::BYTES + 4; // HELLO, and the exit code
constexpr size_t FLUSH_BYTES = 16 * 1024; // so much doesn't wait for the end of a turn
constexpr size_t RING_MIN = 256; // for a greeting, an end, and some bytes

void put_header(Type type, size_t size, std::span<uint8_t, Header::BYTES> to)
{
	encode(Header{static_cast<uint32_t>(type), static_cast<uint32_t>(size)}, to);
}

void put_number(Type type, uint32_t number, std::span<uint8_t, NUMBER_BYTES> to)
{
	put_header(type, 4, to.first<Header::BYTES>());
	encode_number(number, to.last<4>());
}

// What is behind the first `n` bytes; both pieces together have as many at least.
template <typename VIEW>
vchan::Pieces<VIEW> behind(vchan::Pieces<VIEW> const &pieces, size_t n)
{
	size_t const first = pieces.first.size();
	if (n < first) return {pieces.first.subspan(n), pieces.second};
	return {pieces.second.subspan(n - first), {}};
}

void put(Pieces const &to, Bytes from)
{
	size_t const n = copy_bytes(to.first, from);
	copy_bytes(to.second, from.subspan(n));
}

} // namespace

/*
 * In the ring to the other side lie `_filled` bytes that it doesn't see yet: whole messages, the
 * last of which may be a chunk that still grows, whose header is written when it is complete. In
 * the ring from the other side lie `_taken` bytes that are used up and not given back yet; then
 * `_view`.
 */
struct Loop_channel::Inside final : private Loop::Source, private End_of_turn
{
private:
	Loop &_watcher;
	Side _side = Side::CALLER;
	Sealed_memory _memory{};
	Bell _bell{};
	std::optional<vchan::Endpoint> _end{}; // after all that it uses
	std::optional<Data_reader> _reader{};
	std::function<void()> _closed{};
	std::function<void(Bytes)> _errors{};
	bool _cancelled = false;
	bool _broken = false; // by the other side

	Bytes _view{};
	size_t _taken = 0;
	size_t _shown = 0; // at the front of the view, of the stream that is read
	bool _ended = false; // that stream
	std::optional<int> _exit_code{};

	size_t _filled = 0;
	size_t _chunk = 0; // where the chunk that grows begins
	size_t _chunk_bytes = 0; // of its body; 0: there is none
	bool _finished = false; // what we send
	bool _exited = false;

	void ready(uint32_t events) override
	{
		_end->rung();
		if (Bell::ended(events)) _end->peer_died();
	}
	void turn_ended() override { flush(); }

	Error _error(vchan::Error error) const;
	Attempt<void> _watch();
	Type _type() const { return _side == Side::CALLER ? Type::DATA_STDIN : Type::DATA_STDOUT; }

	Attempt<void> _fetch();
	Attempt<void> _take_event();
	Attempt<bool> _look();
	Attempt<bool> _find_code();
	void _used(size_t bytes);
	size_t _copy(Mutable_bytes to);

	Attempt<Pieces> _room(size_t bytes);
	Attempt<Pieces> _piece(size_t max);
	void _seal();
	void _grew(size_t bytes);
	Attempt<bool> _append(Bytes message);
	Attempt<size_t> _put(Bytes from);
	Attempt<bool> _say_end(bool exits, int code);

	template <typename DONE>
	Task<size_t> _until(Job &job, uint64_t until_us, DONE done);
	template <typename DONE>
	Task<size_t> _until_later(Job &job, uint64_t until_us, DONE done);
	Task<size_t> _read_later(Job &job, Mutable_bytes to, uint64_t until_us);
	Task<size_t> _write_later(Job &job, Bytes from, size_t written, uint64_t until_us);
	Task<size_t> _end_later(Job &job, bool exits, int code, uint64_t until_us);
	Task<size_t> _room_later(Job &job, size_t bytes, uint64_t until_us);
	Task<int> _code_later(Job &job, uint64_t until_us);

public:
	explicit Inside(Loop &loop) : End_of_turn(loop.executor()), _watcher(loop) {}
	~Inside() { close(); }

	Attempt<void> adopt(Channel_end end, Side side);
	void close();
	void cancel();
	void flush();

	Task<size_t> opened(Job &job, uint64_t until_us);
	Task<size_t> read(Job &job, Mutable_bytes to, uint64_t until_us);
	Task<size_t> write(Job &job, Bytes from, uint64_t until_us);
	Task<size_t> end(Job &job, bool exits, int code, uint64_t until_us);
	Task<int> exit_code(Job &job, uint64_t until_us);
	void complain(std::string_view text);
	void errors(std::function<void(Bytes)> taker) { _errors = std::move(taker); }

	Attempt<Bytes> peek();
	void consume(size_t bytes);
	Pieces reserve(size_t max);
	void commit(size_t bytes);
	Task<size_t> wait_for_data(Job &job, uint64_t until_us);
	Task<size_t> wait_for_room(Job &job, size_t bytes, uint64_t until_us);
	void when_closed(std::function<void()> closed) { _closed = std::move(closed); }
};

Error Loop_channel::Inside::_error(vchan::Error error) const
{
	if (_cancelled) return Error::CANCELLED;
	if (_broken) return Error::IO;
	switch (error) {
	case vchan::Error::CLOSED: return Error::CANCELLED;
	case vchan::Error::PEER_DEAD: return Error::BROKEN_PIPE; // a death is an end, too
	default: return outer_error(error);
	}
}

Attempt<void> Loop_channel::Inside::adopt(Channel_end end, Side side)
{
	close();
	struct stat file{};
	if (!end.memory || fstat(end.memory.value(), &file) != 0 || file.st_size <= 0)
		return Error::INVALID;
	auto mapped = Sealed_memory::map_own(end.memory.value(), static_cast<size_t>(file.st_size));
	if (!mapped.ok()) return outer_error(mapped.error());
	auto const attached = vchan::attach(mapped.value().bytes(), end.generation, end.role);
	if (!attached.ok()) return Error::INVALID;
	if (std::min(attached.value().out.size(), attached.value().in.size()) < RING_MIN)
		return Error::INVALID;
	_memory = std::move(mapped.value());
	_bell = std::move(end.bell);
	_side = side;
	_cancelled = _broken = _ended = _finished = _exited = false;
	_exit_code.reset();
	_view = {};
	_taken = _shown = _filled = _chunk_bytes = 0;
	_reader.emplace(
		side == Side::CALLER ? Direction::SERVICE_TO_CALLER : Direction::CALLER_TO_SERVICE);
	_end.emplace(attached.value(), _bell);
	std::array<uint8_t, NUMBER_BYTES> hello;
	put_number(Type::HELLO, VERSION, hello);
	// There is room; and what an other side has sent that has gone already can still be read.
	static_cast<void>(_append(hello));
	return Ok{};
}

void Loop_channel::Inside::close()
{
	if (!_end) return;
	if (!_cancelled) flush();
	no_end_of_turn();
	_watcher.remove(*this);
	_end.reset();
	_bell = Bell();
	_memory = Sealed_memory();
	if (auto const closed = std::exchange(_closed, {})) closed();
}

void Loop_channel::Inside::cancel()
{
	if (!_end || _cancelled) return;
	_cancelled = true;
	no_end_of_turn();
	_watcher.remove(*this);
	_end->close();
	if (auto const closed = std::exchange(_closed, {})) closed();
}

void Loop_channel::Inside::flush()
{
	no_end_of_turn();
	if (!_end) return;
	if (_taken) _end->commit_read(std::exchange(_taken, 0));
	if (_filled == 0) return;
	_seal();
	_end->commit_written(std::exchange(_filled, 0));
}

/* The bell costs a call of the system, which is saved where nobody ever has to wait. */
Attempt<void> Loop_channel::Inside::_watch()
{
	if (loop()) return Ok{};
	return _watcher.add(*this, _bell.in(), Bell::events());
}

/* Looks for what is behind that which has been used. */
Attempt<void> Loop_channel::Inside::_fetch()
{
	// Its end before its bytes: none come in between.
	bool const finished = _end->peer_finished();
	auto const there = _end->peek();
	if (!there.ok()) return _error(there.error());
	_view = behind(there.value(), _taken).first;
	if (_view.empty() && finished) return Error::BROKEN_PIPE;
	return Ok{};
}

void Loop_channel::Inside::_used(size_t bytes)
{
	_view = _view.subspan(bytes);
	_taken += bytes;
}

/* What is next in the view, apart from bytes of the stream: those are shown. */
Attempt<void> Loop_channel::Inside::_take_event()
{
	Bytes rest = _view;
	auto const event = _reader->next(rest);
	_used(_view.size() - rest.size());
	if (!event.ok()) {
		_broken = true;
		_end->close();
		return Error::IO;
	}
	Data_reader::Event const &what = event.value();
	bool const error_stream = what.stream == Stream::ERR;
	switch (what.kind) {
	case Data_reader::Kind::MORE:
	case Data_reader::Kind::HELLO: break;
	case Data_reader::Kind::END: _ended = _ended || !error_stream; break;
	case Data_reader::Kind::EXIT_CODE:
		_exit_code = what.exit_code;
		_ended = true;
		break;
	case Data_reader::Kind::BYTES:
		if (!error_stream) {
			_shown = what.bytes;
			break;
		}
		if (_errors) _errors(_view.first(what.bytes));
		_reader->take(what.bytes);
		_used(what.bytes);
		break;
	}
	return Ok{};
}

/*
 * Goes on to bytes of the stream, its end, or the end of what is there: not beyond the ring's
 * memory, or one who sends without end, and faster than we throw away, would keep us here. Whether
 * there is something to be seen.
 */
Attempt<bool> Loop_channel::Inside::_look()
{
	if (!_end) return Error::INVALID;
	for (unsigned fetches = 0; _shown == 0 && !_ended;) {
		if (_view.empty() && fetches++ == 2) return false;
		if (_view.empty()) TRY(_fetch());
		if (_view.empty()) return false;
		TRY(_take_event());
	}
	return true;
}

template <typename DONE>
Task<size_t> Loop_channel::Inside::_until_later(Job &job, uint64_t until_us, DONE done)
{
	while (true) {
		flush();
		CO_TRY(_watch());
		auto const woken = co_await _end->wait_for_data(job, 1, until_us);
		if (!woken.ok()) co_return Failure{_error(woken.error())};
		auto const there = done();
		if (!there.ok()) co_return Failure{there.error()};
		if (there.value()) co_return _shown;
		// Somebody may send what nobody wants, and never stop.
		if (job.cancelled()) co_return Failure{Error::CANCELLED};
		if (until_us != NEVER_US && job.executor.clock.now_us() >= until_us)
			co_return Failure{Error::TIMEOUT};
		co_await Yield{job};
	}
}

template <typename DONE>
Task<size_t> Loop_channel::Inside::_until(Job &job, uint64_t until_us, DONE done)
{
	auto const there = done();
	if (!there.ok()) return there.error();
	if (there.value()) return _shown;
	return _until_later(job, until_us, done);
}

Task<size_t> Loop_channel::Inside::opened(Job &job, uint64_t until_us)
{
	return _until(job, until_us, [this]() -> Attempt<bool> {
		auto const looked = _look();
		if (_end && _reader->version()) return true;
		if (!looked.ok()) return looked.error();
		return false;
	});
}

Task<size_t> Loop_channel::Inside::wait_for_data(Job &job, uint64_t until_us)
{
	return _until(job, until_us, [this] { return _look(); });
}

Attempt<Bytes> Loop_channel::Inside::peek()
{
	TRY(_look());
	return _view.first(_shown);
}

void Loop_channel::Inside::consume(size_t bytes)
{
	BULKHEAD_ASSERT(bytes <= _shown);
	if (bytes == 0) return;
	_shown -= bytes;
	_reader->take(bytes);
	_used(bytes);
	if (_taken >= _end->in_capacity() / 4)
		_end->commit_read(std::exchange(_taken, 0));
	else
		at_end_of_turn();
}

size_t Loop_channel::Inside::_copy(Mutable_bytes to)
{
	size_t copied = 0;
	while (copied < to.size()) {
		auto const there = _look();
		if (!there.ok() || !there.value() || _shown == 0) break;
		size_t const n = copy_bytes(to.subspan(copied), _view.first(_shown));
		consume(n);
		copied += n;
	}
	return copied;
}

Task<size_t> Loop_channel::Inside::read(Job &job, Mutable_bytes to, uint64_t until_us)
{
	if (to.empty()) return size_t{0};
	auto const there = _look();
	if (!there.ok()) return there.error();
	if (there.value()) return _copy(to);
	return _read_later(job, to, until_us);
}

Task<size_t> Loop_channel::Inside::_read_later(Job &job, Mutable_bytes to, uint64_t until_us)
{
	CO_TRY(co_await wait_for_data(job, until_us));
	co_return _copy(to);
}

/* Throws away what is in front of the exit code; whether that has come. */
Attempt<bool> Loop_channel::Inside::_find_code()
{
	if (_exit_code) return true;
	if (!_end) return Error::INVALID;
	for (unsigned fetches = 0; !_exit_code;) {
		if (_shown) consume(_shown);
		if (_view.empty() && fetches++ == 2) return false;
		if (_view.empty()) TRY(_fetch());
		if (_view.empty()) return false;
		TRY(_take_event());
	}
	return true;
}

Task<int> Loop_channel::Inside::exit_code(Job &job, uint64_t until_us)
{
	auto const found = _find_code();
	if (!found.ok()) return found.error();
	if (found.value()) return *_exit_code;
	return _code_later(job, until_us);
}

Task<int> Loop_channel::Inside::_code_later(Job &job, uint64_t until_us)
{
	CO_TRY(co_await _until_later(job, until_us, [this] { return _find_code(); }));
	co_return *_exit_code;
}

/* Room behind what is filled: so many bytes, or fewer. */
Attempt<Pieces> Loop_channel::Inside::_room(size_t bytes)
{
	if (!_end) return Error::INVALID;
	if (_finished && _side == Side::CALLER) return Error::INVALID;
	if (_exited) return Error::INVALID;
	auto const room = _end->reserve(_filled + bytes);
	if (!room.ok()) return _error(room.error());
	return behind(room.value(), _filled);
}

/* Room in the chunk that grows, or in a new one. */
Attempt<Pieces> Loop_channel::Inside::_piece(size_t max)
{
	size_t const chunk_max = _reader ? _reader->chunk_max() : CHUNK_MAX;
	max = std::min(max, chunk_max);
	if (_chunk_bytes + max > chunk_max) _seal();
	size_t const header = _chunk_bytes ? 0 : Header::BYTES;
	Pieces const room = TRY(_room(header + max));
	if (room.size() <= header) return Pieces{};
	return behind(room, header);
}

/* The chunk that grows is complete. */
void Loop_channel::Inside::_seal()
{
	size_t const bytes = std::exchange(_chunk_bytes, 0);
	if (bytes == 0) return;
	auto const room = _end->reserve(_filled);
	if (!room.ok()) return; // nobody will read it
	std::array<uint8_t, Header::BYTES> header;
	put_header(_type(), bytes, header);
	put(behind(room.value(), _chunk), header);
}

void Loop_channel::Inside::_grew(size_t bytes)
{
	_filled += bytes;
	if (_filled >= std::min(FLUSH_BYTES, _end->out_capacity() / 4))
		flush();
	else
		at_end_of_turn();
}

/* A message without a chunk: whole, or not at all as there is no room now. */
Attempt<bool> Loop_channel::Inside::_append(Bytes message)
{
	Pieces const room = TRY(_room(message.size()));
	if (room.size() < message.size()) return false;
	_seal();
	put(room, message);
	_grew(message.size());
	return true;
}

void Loop_channel::Inside::commit(size_t bytes)
{
	if (bytes == 0) return;
	size_t grown = bytes;
	if (_chunk_bytes == 0) {
		_chunk = _filled;
		grown += Header::BYTES;
	}
	_chunk_bytes += bytes;
	_grew(grown);
}

Pieces Loop_channel::Inside::reserve(size_t max)
{
	if (_finished) return {};
	auto const room = _piece(max);
	return room.ok() ? room.value() : Pieces{};
}

Attempt<size_t> Loop_channel::Inside::_put(Bytes from)
{
	if (_finished) return Error::INVALID;
	size_t written = 0;
	while (written < from.size()) {
		Bytes const rest = from.subspan(written);
		Pieces const room = TRY(_piece(rest.size()));
		if (room.size() == 0) break;
		size_t const n = std::min(room.size(), rest.size());
		put(room, rest.first(n));
		commit(n);
		written += n;
	}
	return written;
}

Task<size_t> Loop_channel::Inside::write(Job &job, Bytes from, uint64_t until_us)
{
	auto const written = _put(from);
	if (!written.ok()) return written.error();
	if (written.value() == from.size()) return from.size();
	return _write_later(job, from, written.value(), until_us);
}

Task<size_t> Loop_channel::Inside::_write_later(
	Job &job, Bytes from, size_t written, uint64_t until_us)
{
	while (written < from.size()) {
		CO_TRY(co_await wait_for_room(job, from.size() - written, until_us));
		CO_TRY_ASSIGN(size_t const more, _put(from.subspan(written)));
		written += more;
	}
	co_return written;
}

Task<size_t> Loop_channel::Inside::wait_for_room(Job &job, size_t bytes, uint64_t until_us)
{
	if (!_end) return Error::INVALID;
	bytes = std::min({bytes, PIECE_MAX, _end->out_capacity() / 4});
	auto const room = _piece(bytes);
	if (!room.ok()) return room.error();
	if (room.value().size() >= bytes) return room.value().size();
	return _room_later(job, bytes, until_us);
}

Task<size_t> Loop_channel::Inside::_room_later(Job &job, size_t bytes, uint64_t until_us)
{
	flush();
	CO_TRY(_watch());
	auto const room = co_await _end->wait_for_room(job, Header::BYTES + bytes, until_us);
	if (!room.ok()) co_return Failure{_error(room.error())};
	co_return bytes;
}

/* The end of our stream, and of all that a service says if it `exits`; false: no room now. */
Attempt<bool> Loop_channel::Inside::_say_end(bool exits, int code)
{
	if (_exited) return true;
	std::array<uint8_t, 2 * Header::BYTES + NUMBER_BYTES> message;
	size_t size = 0;
	auto const end_of = [&](Type type) {
		put_header(type, 0, std::span(message).subspan(size).first<Header::BYTES>());
		size += Header::BYTES;
	};
	if (!_finished) end_of(_type());
	if (exits) {
		end_of(Type::DATA_STDERR);
		put_number(Type::DATA_EXIT_CODE, static_cast<uint32_t>(code),
			std::span(message).subspan(size).first<NUMBER_BYTES>());
		size += NUMBER_BYTES;
	}
	if (size == 0) return true;
	bool const said = TRY(_append(std::span(message).first(size)));
	if (said) {
		_finished = true;
		_exited = exits;
	}
	return said;
}

Task<size_t> Loop_channel::Inside::_end_later(Job &job, bool exits, int code, uint64_t until_us)
{
	while (true) {
		CO_TRY(co_await _room_later(job, 2 * Header::BYTES + NUMBER_BYTES, until_us));
		CO_TRY_ASSIGN(bool const said, _say_end(exits, code));
		if (said) co_return size_t{0};
	}
}

Task<size_t> Loop_channel::Inside::end(Job &job, bool exits, int code, uint64_t until_us)
{
	auto const said = _say_end(exits, code);
	if (!said.ok()) return said.error();
	if (said.value()) return size_t{0};
	return _end_later(job, exits, code, until_us);
}

void Loop_channel::Inside::complain(std::string_view text)
{
	if (_side != Side::SERVICE || text.empty()) return;
	auto const room = _room(Header::BYTES + text.size() + 1);
	if (!room.ok() || room.value().size() <= Header::BYTES + 1) return;
	_seal();
	size_t const size = std::min(room.value().size() - Header::BYTES - 1, text.size());
	std::array<uint8_t, Header::BYTES> header;
	put_header(Type::DATA_STDERR, size + 1, header);
	put(room.value(), header);
	put(behind(room.value(), Header::BYTES), bytes_of(text.substr(0, size)));
	put(behind(room.value(), Header::BYTES + size), bytes_of("\n"));
	_grew(Header::BYTES + size + 1);
}

Loop_channel::Loop_channel(Loop &loop) : _inside(std::make_unique<Inside>(loop)) {}
Loop_channel::~Loop_channel() = default;

Attempt<void> Loop_channel::adopt(Channel_end end, Side side)
{
	return _inside->adopt(std::move(end), side);
}

Task<size_t> Loop_channel::opened(Job &job, uint64_t until_us)
{
	return _inside->opened(job, until_us);
}

Task<size_t> Loop_channel::read(Job &job, Mutable_bytes to, uint64_t until_us)
{
	return _inside->read(job, to, until_us);
}

Task<size_t> Loop_channel::write(Job &job, Bytes from, uint64_t until_us)
{
	return _inside->write(job, from, until_us);
}

Task<size_t> Loop_channel::finish(Job &job, uint64_t until_us)
{
	return _inside->end(job, false, 0, until_us);
}

Task<int> Loop_channel::exit_code(Job &job, uint64_t until_us)
{
	return _inside->exit_code(job, until_us);
}

Task<size_t> Loop_channel::exit(Job &job, int code, uint64_t until_us)
{
	return _inside->end(job, true, code, until_us);
}

void Loop_channel::complain(std::string_view text) { _inside->complain(text); }
void Loop_channel::errors(std::function<void(Bytes)> taker) { _inside->errors(std::move(taker)); }
Attempt<Bytes> Loop_channel::peek() { return _inside->peek(); }
void Loop_channel::consume(size_t bytes) { _inside->consume(bytes); }
Pieces Loop_channel::reserve(size_t max) { return _inside->reserve(max); }
void Loop_channel::commit(size_t bytes) { _inside->commit(bytes); }

Task<size_t> Loop_channel::wait_for_data(Job &job, uint64_t until_us)
{
	return _inside->wait_for_data(job, until_us);
}

Task<size_t> Loop_channel::wait_for_room(Job &job, size_t bytes, uint64_t until_us)
{
	return _inside->wait_for_room(job, bytes, until_us);
}

void Loop_channel::flush() { _inside->flush(); }
void Loop_channel::close() { _inside->close(); }
void Loop_channel::cancel() { _inside->cancel(); }

void Loop_channel::when_closed(std::function<void()> closed)
{
	_inside->when_closed(std::move(closed));
}

} // namespace bulkhead::qrexec
