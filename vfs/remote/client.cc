#include "vfs/remote/client.h"

#include "base/mutex.h"
#include "platform/linux/errno.h"
#include "vfs/name.h"
#include "vfs/remote/input.h"
#include "vfs/remote/output.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <vector>

namespace bulkhead::remote {

namespace {

constexpr size_t DEPTH_MAX = 64;
constexpr size_t LIST_BYTES = 16 * 1024; // of entries at a time
constexpr size_t ROUNDS_MAX = size_t{1} << 20; // of a listing
// Of the numbers of requests whose answer nobody waits for.
constexpr uint64_t UNWANTED = uint64_t{1} << 63;
constexpr uint64_t INTERRUPT_BIT = 1; // of the number of a request that names another one
constexpr unsigned ANSWERS_PER_ROUND = 256;
constexpr size_t SEND_BYTES = 1024; // as much room as is waited for at a time
constexpr size_t SPARE_BYTES = sizeof(fuse_entry_out);
constexpr int ERRNO_MAX = 511; // of the protocol
constexpr int64_t SECOND_NS = 1'000'000'000;

template <typename T>
Bytes bytes_of_object(T const &object)
{
	return {reinterpret_cast<uint8_t const *>(&object), sizeof object};
}
template <typename T>
Mutable_bytes place_of(T &object)
{
	return {reinterpret_cast<uint8_t *>(&object), sizeof object};
}

constexpr uint8_t NUL[1]{};

Error error_of(int error_number)
{
	return error_number == ESTALE ? Error::GONE : linux_host::error_of_errno(error_number);
}

Attempt<vfs::Type> type_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return vfs::Type::FILE;
	case S_IFDIR: return vfs::Type::DIRECTORY;
	case S_IFLNK: return vfs::Type::SYMLINK;
	case S_IFCHR: return vfs::Type::CHAR_DEVICE;
	default: return Error::IO;
	}
}

int64_t ns_of(uint64_t seconds, uint32_t ns)
{
	int64_t const limit = INT64_MAX / SECOND_NS - 1;
	int64_t const whole = std::clamp(static_cast<int64_t>(seconds), -limit, limit);
	return whole * SECOND_NS + std::min<int64_t>(ns, SECOND_NS - 1);
}

Attempt<vfs::Stat> stat_of(fuse_attr const &attributes)
{
	constexpr uint64_t BLOCK = 512;
	return vfs::Stat{.type = TRY(type_of(attributes.mode)),
		.mode = static_cast<uint16_t>(attributes.mode & 07777),
		.links = attributes.nlink,
		.uid = attributes.uid,
		.gid = attributes.gid,
		.inode = attributes.ino,
		.size = attributes.size,
		.used = std::min(attributes.blocks, UINT64_MAX / BLOCK) * BLOCK,
		.accessed_ns = ns_of(attributes.atime, attributes.atimensec),
		.modified_ns = ns_of(attributes.mtime, attributes.mtimensec),
		.changed_ns = ns_of(attributes.ctime, attributes.ctimensec)};
}

uint32_t flags_of(vfs::Access access)
{
	uint32_t flags = access.write ? (access.read ? O_RDWR : O_WRONLY) : O_RDONLY;
	if (access.append) flags |= O_APPEND;
	if (access.truncate) flags |= O_TRUNC;
	if (access.nonblocking) flags |= O_NONBLOCK;
	return flags;
}

fuse_setattr_in setattr_of(vfs::Changes const &changes)
{
	fuse_setattr_in in{};
	auto const set = [&](uint32_t bit, auto const &from, auto &to) {
		if (!from) return;
		in.valid |= bit;
		to = static_cast<std::remove_reference_t<decltype(to)>>(*from);
	};
	auto const set_time = [&](uint32_t bit, std::optional<int64_t> from, uint64_t &s, uint32_t &n) {
		if (!from) return;
		in.valid |= bit;
		int64_t const rest = *from % SECOND_NS;
		int64_t const below = rest < 0 ? rest + SECOND_NS : rest;
		s = static_cast<uint64_t>((*from - below) / SECOND_NS);
		n = static_cast<uint32_t>(below);
	};
	set(FATTR_MODE, changes.mode, in.mode);
	set(FATTR_UID, changes.uid, in.uid);
	set(FATTR_GID, changes.gid, in.gid);
	set(FATTR_SIZE, changes.size, in.size);
	set_time(FATTR_ATIME, changes.accessed_ns, in.atime, in.atimensec);
	set_time(FATTR_MTIME, changes.modified_ns, in.mtime, in.mtimensec);
	return in;
}

/* Takes the next name off a path; empty at its end. Errors: INVALID, TOO_LONG. */
Attempt<std::string_view> next_name(std::string_view &path)
{
	while (!path.empty()) {
		size_t const end = std::min(path.find('/'), path.size());
		std::string_view const name = path.substr(0, end);
		path.remove_prefix(std::min(end + 1, path.size()));
		if (name.empty() || name == ".") continue;
		if (name.size() > vfs::NAME_MAX_BYTES) return Error::TOO_LONG;
		if (!vfs::valid_name(name)) return Error::INVALID;
		return name;
	}
	return std::string_view();
}

/* The last name of a path, which is taken off. Errors: INVALID (there is none), TOO_LONG. */
Attempt<std::string_view> last_name(std::string_view &path)
{
	while (path.ends_with('/')) path.remove_suffix(1);
	size_t const slash = path.rfind('/');
	std::string_view name = slash == path.npos ? path : path.substr(slash + 1);
	path.remove_suffix(name.size());
	std::string_view const result = TRY(next_name(name));
	if (result.empty()) return Error::INVALID;
	return result;
}

} // namespace

/* A request: lives in the frame of the task that asks, from before it is sent to its answer. */
struct Client::Call
{
	Inside &client;
	uint32_t const opcode;
	uint64_t const node;
	Mutable_bytes const to; // of the answer
	bool const exact; // the answer is as long as that, if it is no error
	size_t size = 0; // of the answer
	std::optional<Error> error{};
	bool ended = false;
	unsigned slot = OUTSTANDING_MAX;
	Event answered{};

	Call(Inside &c, uint32_t o, uint64_t n, Mutable_bytes t = {}, bool e = true)
		: client(c), opcode(o), node(n), to(t), exact(e)
	{}
	Call(Call const &) = delete;
	Call &operator=(Call const &) = delete;
	~Call();

	void end(std::optional<Error> why)
	{
		error = why;
		ended = true;
		slot = OUTSTANDING_MAX;
		answered.raise_all();
	}

	Attempt<size_t> result() const
	{
		if (error) return *error;
		return size;
	}
};

struct Client::Inside
{
	using Parts = std::span<Bytes const>;

	/* Of a request that is under way. If nobody waits for it any more, the answer goes to `spare`.
	 */
	struct Slot
	{
		Call *call = nullptr;
		uint64_t unique = 0; // 0: free
		uint32_t opcode = 0;
		uint8_t spare[SPARE_BYTES]{};
	};

	Executor &executor;
	Stream &stream;
	Input input{};
	Output output{};
	bool greeted = false;
	std::optional<Error> broken{};
	Event changed{}; // of the two above, or a slot is free
	Mutex sending{};
	std::vector<Slot> slots{OUTSTANDING_MAX};
	std::vector<unsigned> free{};
	uint64_t sequence = 0;
	size_t io_max = 4096; // until the server says
	bool batching = false;
	std::vector<uint8_t> later{}; // what must still be sent, though nobody waits for it

	fuse_out_header header{};
	size_t header_filled = 0;
	size_t body_filled = 0;

	Inside(Executor &e, Stream &s) : executor(e), stream(s)
	{
		input.use(&stream);
		output.use(&stream);
		for (unsigned i = OUTSTANDING_MAX; i-- > 0;) free.push_back(i);
	}

	fuse_in_header begin(Call &call, size_t arguments);
	bool send_now(Call &call, Parts parts);
	Task<void> send_later(Job &job, Call &call, Parts parts);
	Task<size_t> ask(Job &job, Call &call, Parts parts);
	void sent()
	{
		if (!batching) output.flush();
	}
	bool send_left_over();
	void send_whenever(Bytes message);
	void tell(uint32_t opcode, uint64_t node, Bytes arguments, uint64_t unique = 0);
	void forget(uint64_t node);
	void leave(Call &call);
	void undo(Slot const &slot, Bytes answer);

	Attempt<bool> take();
	Attempt<void> check_header();
	void complete(Slot &slot);
	void fail_all(Error why);
	Task<void> greet_and_take(Job &job);

	Task<Held_node> find(Job &job, std::string_view path, fuse_entry_out &entry);
	Task<void> ask_plainly(Job &job, uint32_t opcode, uint64_t node, Parts parts);
	Task<Remote_file> open(Job &job, std::string_view path, uint32_t opcode, uint32_t flags);
	Task<void> close(Job &job, uint32_t opcode, Remote_file file);
	void leave_open(uint32_t opcode, Remote_file file);
	static Attempt<bool> tell_entries(Bytes answer, vfs::Entry_sink &sink, uint64_t &offset);
	Task<void> list_open(Job &job, Remote_file directory, vfs::Entry_sink &sink);
};

/* A node that the server was asked about, until it may forget that. */
struct Client::Held_node
{
	Inside *client = nullptr;
	uint64_t id = FUSE_ROOT_ID;

	Held_node() = default;
	Held_node(Inside *c, uint64_t i) : client(c), id(i) {}
	Held_node(Held_node &&other) noexcept
		: client(std::exchange(other.client, nullptr)), id(other.id)
	{}
	Held_node &operator=(Held_node &&other) noexcept
	{
		std::swap(client, other.client);
		std::swap(id, other.id);
		return *this;
	}
	~Held_node()
	{
		if (client) client->forget(id);
	}

	uint64_t keep()
	{
		client = nullptr;
		return id;
	}
};

Client::Call::~Call()
{
	if (slot != OUTSTANDING_MAX) client.leave(*this);
}

/* Makes a request one of those under way; there is a free slot. */
fuse_in_header Client::Inside::begin(Call &call, size_t arguments)
{
	unsigned const place = free.back();
	free.pop_back();
	Slot &slot = slots[place];
	slot.call = &call;
	// The lowest bit is for interrupts.
	slot.unique = (++sequence * OUTSTANDING_MAX + place) << 1;
	slot.opcode = call.opcode;
	call.slot = place;
	fuse_in_header in{};
	in.len = static_cast<uint32_t>(sizeof in + arguments);
	in.opcode = call.opcode;
	in.unique = slot.unique;
	in.nodeid = call.node;
	return in;
}

/* False: there is no room yet, or others wait already. */
bool Client::Inside::send_now(Call &call, Parts parts)
{
	size_t size = 0;
	for (Bytes const part : parts) size += part.size();
	if (sending.held() || free.empty() || !send_left_over()) return false;
	if (!output.fits(sizeof(fuse_in_header) + size)) return false;
	fuse_in_header const in = begin(call, size);
	output.put(bytes_of_object(in));
	for (Bytes const part : parts) output.put(part);
	sent();
	return true;
}

/* Whoever is given up half way leaves the rest to be sent by others. */
struct Rest
{
	std::vector<uint8_t> &later;
	std::vector<Bytes> parts{};
	size_t first = 0;

	~Rest()
	{
		for (size_t i = first; i < parts.size(); ++i)
			later.insert(later.end(), parts[i].begin(), parts[i].end());
	}
};

Task<void> Client::Inside::send_later(Job &job, Call &call, Parts parts)
{
	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await sending.acquire(job));
	while (free.empty() && !broken) CO_TRY(co_await changed.wait(job));
	if (broken) co_return Failure{*broken};
	size_t size = 0;
	for (Bytes const part : parts) size += part.size();
	while (!send_left_over()) CO_TRY(co_await stream.wait_for_room(job, 1));
	fuse_in_header const in = begin(call, size);
	Rest rest{later};
	rest.parts.push_back(bytes_of_object(in));
	rest.parts.insert(rest.parts.end(), parts.begin(), parts.end());
	for (; rest.first < rest.parts.size(); ++rest.first) {
		Bytes &part = rest.parts[rest.first];
		for (;;) {
			part = part.subspan(output.put_what_fits(part));
			if (part.empty()) break;
			output.flush();
			size_t const wanted = std::min(part.size(), SEND_BYTES);
			Attempt<size_t> const room = co_await stream.wait_for_room(job, wanted);
			CO_TRY(room);
		}
	}
	send_left_over();
	sent();
	co_return Ok{};
}

/* Sends a request and waits for its answer; returns its size. */
Task<size_t> Client::Inside::ask(Job &job, Call &call, Parts parts)
{
	if (broken) co_return Failure{*broken};
	if (!send_now(call, parts)) CO_TRY(co_await send_later(job, call, parts));
	while (!call.ended) CO_TRY(co_await call.answered.wait(job));
	co_return call.result();
}

/* Whether nothing is left. */
bool Client::Inside::send_left_over()
{
	if (later.empty()) return true;
	size_t const done = output.put_what_fits(later);
	later.erase(later.begin(), later.begin() + static_cast<ptrdiff_t>(done));
	sent();
	return later.empty();
}

void Client::Inside::send_whenever(Bytes message)
{
	// Not into the middle of another one's message.
	bool const now = !sending.held() && send_left_over() && output.fits(message.size());
	if (now) {
		output.put(message);
		sent();
	} else
		later.insert(later.end(), message.begin(), message.end());
}

/* Sends what the answer to is not wanted. */
void Client::Inside::tell(uint32_t opcode, uint64_t node, Bytes arguments, uint64_t unique)
{
	if (broken) return;
	constexpr size_t ARGUMENTS_MAX = 64;
	uint8_t message[sizeof(fuse_in_header) + ARGUMENTS_MAX];
	fuse_in_header in{};
	in.len = static_cast<uint32_t>(sizeof in + arguments.size());
	in.opcode = opcode;
	in.unique = unique;
	in.nodeid = node;
	std::memcpy(message, &in, sizeof in);
	copy_bytes(std::span(message).subspan(sizeof in), arguments);
	send_whenever(std::span(message).first(in.len));
}

void Client::Inside::forget(uint64_t node)
{
	fuse_forget_in const in{.nlookup = 1};
	tell(FUSE_FORGET, node, bytes_of_object(in));
}

/* The one who asked is about to vanish: the server is to give up, and what it has done is undone.
 */
void Client::Inside::leave(Call &call)
{
	Slot &slot = slots[call.slot];
	slot.call = nullptr;
	bool const half = header_filled == sizeof header && header.unique == slot.unique;
	if (half) copy_bytes(slot.spare, call.to.first(std::min(body_filled, call.to.size())));
	fuse_interrupt_in const in{.unique = slot.unique};
	tell(FUSE_INTERRUPT, 0, bytes_of_object(in), slot.unique | INTERRUPT_BIT);
}

/* Closes a file without waiting for it. */
void Client::Inside::leave_open(uint32_t opcode, Remote_file file)
{
	fuse_release_in in{};
	in.fh = file.handle;
	tell(opcode, file.node, bytes_of_object(in), ++sequence << 1 | UNWANTED);
	if (file.node != FUSE_ROOT_ID) forget(file.node);
}

/* Of a request whose answer nobody has waited for. */
void Client::Inside::undo(Slot const &slot, Bytes answer)
{
	switch (slot.opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK: {
		fuse_entry_out entry{};
		if (answer.size() == sizeof entry) std::memcpy(&entry, answer.data(), sizeof entry);
		if (entry.nodeid) forget(entry.nodeid);
		return;
	}
	case FUSE_OPEN:
	case FUSE_OPENDIR: {
		fuse_open_out open{};
		if (answer.size() != sizeof open) return;
		std::memcpy(&open, answer.data(), sizeof open);
		leave_open(slot.opcode == FUSE_OPEN ? FUSE_RELEASE : FUSE_RELEASEDIR,
			{.node = FUSE_ROOT_ID, .handle = open.fh});
		return;
	}
	default: return;
	}
}

/* Of an answer: whether it is one. Error: IO. */
Attempt<void> Client::Inside::check_header()
{
	if (header.len < sizeof header || header.error > 0 || header.error < -ERRNO_MAX)
		return Error::IO;
	size_t const body = header.len - sizeof header;
	if (header.error && body) return Error::IO;
	// What became ready is told, though we never ask; and files that were opened in vain close.
	if (header.unique == 0 || (header.unique & UNWANTED))
		return body <= SPARE_BYTES ? Attempt<void>(Ok{}) : Error::IO;
	Slot const &slot = slots[header.unique / 2 % OUTSTANDING_MAX];
	if (slot.unique != header.unique) return Error::IO;
	if (!slot.call) return Ok{};
	if (header.error == 0 && slot.call->exact && body != slot.call->to.size()) return Error::IO;
	if (body > slot.call->to.size()) return Error::IO;
	return Ok{};
}

void Client::Inside::complete(Slot &slot)
{
	size_t const body = header.len - sizeof header;
	Call *const call = std::exchange(slot.call, nullptr);
	slot.unique = 0;
	free.push_back(static_cast<unsigned>(&slot - slots.data()));
	if (changed.awaited()) changed.raise_all();
	if (!call) {
		if (!header.error) undo(slot, std::span(slot.spare).first(std::min(body, SPARE_BYTES)));
		return;
	}
	call->size = body;
	call->end(header.error ? std::optional(error_of(-header.error)) : std::nullopt);
}

/* Takes an answer, or what is there of it, out of the stream; false if nothing is. */
Attempt<bool> Client::Inside::take()
{
	Bytes there = TRY(input.look());
	if (there.empty()) return false;
	if (header_filled < sizeof header) {
		size_t const size = copy_bytes(place_of(header).subspan(header_filled), there);
		input.take(size);
		header_filled += size;
		if (header_filled < sizeof header) return true;
		there = there.subspan(size);
		TRY(check_header());
		body_filled = 0;
	}
	bool const ours = header.unique && !(header.unique & UNWANTED);
	Slot &slot = slots[header.unique / 2 % OUTSTANDING_MAX];
	size_t const body = header.len - sizeof header;
	if (body_filled < body) {
		size_t const size = std::min(there.size(), body - body_filled);
		if (ours) {
			Mutable_bytes const to = slot.call ? slot.call->to : Mutable_bytes(slot.spare);
			if (body_filled < to.size()) copy_bytes(to.subspan(body_filled), there.first(size));
		}
		input.take(size);
		body_filled += size;
	}
	if (body_filled < body) return true;
	header_filled = 0;
	if (ours) complete(slot);
	return true;
}

void Client::Inside::fail_all(Error why)
{
	broken = why;
	output.use(nullptr);
	later.clear();
	for (Slot &slot : slots)
		if (Call *const call = std::exchange(slot.call, nullptr)) call->end(why);
	changed.raise_all();
}

Task<void> Client::Inside::greet_and_take(Job &job)
{
	fuse_init_in in{};
	in.major = FUSE_KERNEL_VERSION;
	in.minor = FUSE_KERNEL_MINOR_VERSION;
	in.flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC;
	fuse_init_out out{};
	Call call(*this, FUSE_INIT, 0, place_of(out));
	Bytes const parts[]{bytes_of_object(in)};
	if (!send_now(call, parts)) CO_TRY(co_await send_later(job, call, parts));
	for (;;) {
		batching = true;
		Attempt<bool> taken = true;
		bool any = false;
		for (unsigned i = 0; i < ANSWERS_PER_ROUND; ++i) {
			taken = take();
			if (!taken.ok() || !taken.value()) break;
			any = true;
		}
		if (!greeted && call.ended) {
			CO_TRY(call.result());
			if (out.major != FUSE_KERNEL_VERSION) co_return Error::IO;
			greeted = true;
			io_max = std::clamp<size_t>(out.max_write, 4096, IO_MAX);
			changed.raise_all();
		}
		input.give_back();
		// Who has an answer mostly asks for more, and all of that goes out together.
		if (any) co_await Yield{job};
		batching = false;
		if (!sending.held()) send_left_over();
		output.flush();
		CO_TRY(taken);
		if (any) continue;
		Attempt<size_t> const there = co_await stream.wait_for_data(job);
		CO_TRY(there);
		if (there.value() == 0) co_return Ok{};
	}
}

Client::Client(Executor &executor, Stream &stream)
	: _inside(std::make_unique<Inside>(executor, stream))
{}

Client::~Client()
{
	if (!_inside->broken) _inside->fail_all(Error::BROKEN_PIPE);
}

Task<void> Client::run(Job &job)
{
	struct End
	{
		Inside &inside;
		// The task may be given up where it waits.
		~End()
		{
			if (!inside.broken) inside.fail_all(Error::BROKEN_PIPE);
		}
	};
	End const end{*_inside};
	unsigned const spin = std::exchange(job.spin, LOOKS);
	Attempt<void> const result = co_await _inside->greet_and_take(job);
	job.spin = spin;
	_inside->fail_all(result.ok() ? Error::BROKEN_PIPE : result.error());
	co_return result;
}

Task<void> Client::ready(Job &job)
{
	while (!_inside->greeted && !_inside->broken) CO_TRY(co_await _inside->changed.wait(job));
	if (_inside->broken) co_return Failure{*_inside->broken};
	co_return Ok{};
}

// Files and names

/* The node of a path, which the server is to forget afterwards; `entry` has its attributes. */
Task<Client::Held_node> Client::Inside::find(Job &job, std::string_view path, fuse_entry_out &entry)
{
	Held_node node;
	entry = {};
	for (size_t depth = 0;; ++depth) {
		Attempt<std::string_view> const name = next_name(path);
		CO_TRY(name);
		if (name.value().empty()) co_return std::move(node);
		if (depth == DEPTH_MAX) co_return Error::TOO_LONG;
		Call call(*this, FUSE_LOOKUP, node.id, place_of(entry));
		Bytes const parts[]{bytes_of(name.value()), NUL};
		CO_TRY(co_await ask(job, call, parts));
		if (entry.nodeid == 0) co_return Error::NOT_FOUND;
		node = Held_node(this, entry.nodeid);
	}
}

/* Asks for what is answered without a body. */
Task<void> Client::Inside::ask_plainly(Job &job, uint32_t opcode, uint64_t node, Parts parts)
{
	Call call(*this, opcode, node);
	CO_TRY(co_await ask(job, call, parts));
	co_return Ok{};
}

Task<Remote_file> Client::Inside::open(
	Job &job, std::string_view path, uint32_t opcode, uint32_t flags)
{
	fuse_entry_out entry{};
	CO_TRY_ASSIGN(Held_node node, co_await find(job, path, entry));
	fuse_open_out out{};
	Call call(*this, opcode, node.id, place_of(out));
	fuse_open_in const in{.flags = flags, .open_flags = 0};
	Bytes const parts[]{bytes_of_object(in)};
	CO_TRY(co_await ask(job, call, parts));
	co_return Remote_file{.node = node.keep(), .handle = out.fh, .flags = flags};
}

Task<void> Client::Inside::close(Job &job, uint32_t opcode, Remote_file file)
{
	Held_node const node(file.node == FUSE_ROOT_ID ? nullptr : this, file.node);
	fuse_release_in in{};
	in.fh = file.handle;
	in.flags = file.flags;
	Bytes const parts[]{bytes_of_object(in)};
	co_return co_await ask_plainly(job, opcode, file.node, parts);
}

/* Tells the entries of an answer; `offset` moves behind those that were taken. False: no more. */
Attempt<bool> Client::Inside::tell_entries(Bytes answer, vfs::Entry_sink &sink, uint64_t &offset)
{
	if (answer.empty()) return false;
	while (!answer.empty()) {
		fuse_dirent entry{};
		if (answer.size() < FUSE_NAME_OFFSET) return Error::IO;
		std::memcpy(&entry, answer.data(), FUSE_NAME_OFFSET);
		if (entry.namelen > answer.size() - FUSE_NAME_OFFSET) return Error::IO;
		std::string_view const name = text_of(answer.subspan(FUSE_NAME_OFFSET, entry.namelen));
		size_t const size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
		answer = answer.subspan(std::min(size, answer.size()));
		offset = entry.off;
		if (name == "." || name == "..") continue;
		vfs::Type const type = TRY(type_of(entry.type << 12));
		if (name.size() > vfs::NAME_MAX_BYTES || !vfs::valid_name(name)) return Error::IO;
		if (!sink.entry(name, type, entry.ino, entry.off)) return false;
	}
	return true;
}

Task<void> Client::Inside::list_open(Job &job, Remote_file directory, vfs::Entry_sink &sink)
{
	std::vector<uint8_t> buffer(LIST_BYTES);
	fuse_read_in in{};
	in.fh = directory.handle;
	in.size = LIST_BYTES;
	// A server could tell entries for ever.
	for (size_t rounds = 0; rounds < ROUNDS_MAX; ++rounds) {
		Call call(*this, FUSE_READDIR, directory.node, buffer, false);
		Bytes const parts[]{bytes_of_object(in)};
		CO_TRY_ASSIGN(size_t const size, co_await ask(job, call, parts));
		CO_TRY_ASSIGN(bool const more, tell_entries(Bytes(buffer).first(size), sink, in.offset));
		if (!more) co_return Ok{};
	}
	co_return Error::IO;
}

Task<vfs::Stat> Client::stat(Job &job, std::string_view path)
{
	fuse_entry_out entry{};
	CO_TRY_ASSIGN(Held_node const node, co_await _inside->find(job, path, entry));
	if (entry.nodeid) co_return stat_of(entry.attr);
	fuse_attr_out out{};
	Call call(*_inside, FUSE_GETATTR, node.id, place_of(out));
	fuse_getattr_in const in{};
	Bytes const parts[]{bytes_of_object(in)};
	CO_TRY(co_await _inside->ask(job, call, parts));
	co_return stat_of(out.attr);
}

Task<Remote_file> Client::open(Job &job, std::string_view path, vfs::Access access)
{
	return _inside->open(job, path, FUSE_OPEN, flags_of(access));
}

Task<size_t> Client::read(Job &job, Remote_file file, Mutable_bytes to, uint64_t offset)
{
	to = to.first(std::min(to.size(), _inside->io_max));
	fuse_read_in in{};
	in.fh = file.handle;
	in.offset = offset;
	in.size = static_cast<uint32_t>(to.size());
	in.flags = file.flags;
	Call call(*_inside, FUSE_READ, file.node, to, false);
	Bytes const parts[]{bytes_of_object(in)};
	co_return co_await _inside->ask(job, call, parts);
}

Task<size_t> Client::write(Job &job, Remote_file file, Bytes from, uint64_t offset)
{
	from = from.first(std::min(from.size(), _inside->io_max));
	fuse_write_in in{};
	in.fh = file.handle;
	in.offset = offset;
	in.size = static_cast<uint32_t>(from.size());
	in.flags = file.flags;
	fuse_write_out out{};
	Call call(*_inside, FUSE_WRITE, file.node, place_of(out));
	Bytes const parts[]{bytes_of_object(in), from};
	CO_TRY(co_await _inside->ask(job, call, parts));
	if (out.size > from.size()) co_return Error::IO;
	co_return size_t{out.size};
}

Task<void> Client::sync(Job &job, Remote_file file)
{
	fuse_fsync_in in{};
	in.fh = file.handle;
	Bytes const parts[]{bytes_of_object(in)};
	co_return co_await _inside->ask_plainly(job, FUSE_FSYNC, file.node, parts);
}

Task<void> Client::close(Job &job, Remote_file file)
{
	return _inside->close(job, FUSE_RELEASE, file);
}

Task<void> Client::list(Job &job, std::string_view path, vfs::Entry_sink &sink)
{
	struct Open
	{
		Inside &inside;
		Remote_file const directory;
		~Open() { inside.leave_open(FUSE_RELEASEDIR, directory); }
	};
	CO_TRY_ASSIGN(Remote_file const directory,
		co_await _inside->open(job, path, FUSE_OPENDIR, O_RDONLY | O_DIRECTORY));
	Open const open{*_inside, directory};
	co_return co_await _inside->list_open(job, directory, sink);
}

Task<void> Client::create(Job &job, std::string_view path, vfs::New_node const &node)
{
	std::string_view directory = path;
	Attempt<std::string_view> const name = last_name(directory);
	CO_TRY(name);
	fuse_entry_out entry{};
	CO_TRY_ASSIGN(Held_node const into, co_await _inside->find(job, directory, entry));
	fuse_mknod_in const file{
		.mode = S_IFREG | uint32_t{node.mode}, .rdev = 0, .umask = 0, .padding = 0};
	fuse_mkdir_in const made{.mode = node.mode, .umask = 0};
	uint32_t opcode = FUSE_MKNOD;
	Bytes parts[]{bytes_of_object(file), bytes_of(name.value()), NUL, Bytes(), Bytes()};
	if (node.type == vfs::Type::DIRECTORY) {
		opcode = FUSE_MKDIR;
		parts[0] = bytes_of_object(made);
	} else if (node.type == vfs::Type::SYMLINK) {
		if (node.target.size() > vfs::LINK_MAX_BYTES) co_return Error::TOO_LONG;
		if (node.target.find('\0') != node.target.npos) co_return Error::INVALID;
		opcode = FUSE_SYMLINK;
		parts[0] = {};
		parts[3] = bytes_of(node.target);
		parts[4] = NUL;
	} else if (node.type != vfs::Type::FILE)
		co_return Error::NOT_SUPPORTED;
	Call call(*_inside, opcode, into.id, place_of(entry));
	CO_TRY(co_await _inside->ask(job, call, parts));
	if (entry.nodeid) _inside->forget(entry.nodeid);
	co_return Ok{};
}

Task<void> Client::remove(Job &job, std::string_view path, bool directory)
{
	Attempt<std::string_view> const name = last_name(path);
	CO_TRY(name);
	fuse_entry_out entry{};
	CO_TRY_ASSIGN(Held_node const from, co_await _inside->find(job, path, entry));
	Bytes const parts[]{bytes_of(name.value()), NUL};
	uint32_t const opcode = directory ? FUSE_RMDIR : FUSE_UNLINK;
	co_return co_await _inside->ask_plainly(job, opcode, from.id, parts);
}

Task<void> Client::rename(Job &job, std::string_view from, std::string_view to)
{
	Attempt<std::string_view> const name = last_name(from);
	CO_TRY(name);
	Attempt<std::string_view> const new_name = last_name(to);
	CO_TRY(new_name);
	fuse_entry_out entry{};
	CO_TRY_ASSIGN(Held_node const source, co_await _inside->find(job, from, entry));
	CO_TRY_ASSIGN(Held_node const target, co_await _inside->find(job, to, entry));
	fuse_rename_in const in{.newdir = target.id};
	Bytes const parts[]{
		bytes_of_object(in), bytes_of(name.value()), NUL, bytes_of(new_name.value()), NUL};
	co_return co_await _inside->ask_plainly(job, FUSE_RENAME, source.id, parts);
}

Task<void> Client::change(Job &job, std::string_view path, vfs::Changes const &changes)
{
	fuse_entry_out entry{};
	CO_TRY_ASSIGN(Held_node const node, co_await _inside->find(job, path, entry));
	fuse_setattr_in const in = setattr_of(changes);
	fuse_attr_out out{};
	Call call(*_inside, FUSE_SETATTR, node.id, place_of(out));
	Bytes const parts[]{bytes_of_object(in)};
	CO_TRY(co_await _inside->ask(job, call, parts));
	co_return Ok{};
}

} // namespace bulkhead::remote
