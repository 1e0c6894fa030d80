#include "driver/tpm/resource_manager.h"

#include "driver/tpm/command.h"

namespace bulkhead::tpm {

// Constants by the names of TPM 2.0 Part 2.
static constexpr uint32_t TPM_CC_CONTEXT_LOAD = 0x161;
static constexpr uint32_t TPM_CC_CONTEXT_SAVE = 0x162;
static constexpr uint32_t TPM_CC_FLUSH_CONTEXT = 0x165;
static constexpr uint32_t TPM_CC_START_AUTH_SESSION = 0x176;
static constexpr uint32_t TPM_CC_GET_CAPABILITY = 0x17a;
static constexpr uint32_t TPM_CC_FIRST = 0x11f;

static constexpr uint32_t TPM_CAP_HANDLES = 1;
static constexpr uint32_t TPM_CAP_COMMANDS = 2;

static constexpr uint32_t TPM_RC_SUCCESS = 0;
static constexpr uint32_t TPM_RC_INITIALIZE = 0x100;
static constexpr uint32_t TPM_RC_FAILURE = 0x101;
static constexpr uint32_t TPM_RC_COMMAND_SIZE = 0x142;
static constexpr uint32_t TPM_RC_COMMAND_CODE = 0x143;
static constexpr uint32_t TPM_RC_AUTHSIZE = 0x144;
static constexpr uint32_t TPM_RC_AUTH_CONTEXT = 0x145;
static constexpr uint32_t TPM_RC_HANDLE = 0x08b;
static constexpr uint32_t TPM_RC_CONTEXT_GAP = 0x901;
static constexpr uint32_t TPM_RC_OBJECT_MEMORY = 0x902;
static constexpr uint32_t TPM_RC_SESSION_MEMORY = 0x903;
static constexpr uint32_t TPM_RC_REFERENCE_H0 = 0x910;

static constexpr unsigned SESSIONS_IN_COMMAND_MAX = 3;

/* The layer that a response of the manager's own names as its origin (TSS 2.0, 3.2.7). */
static constexpr uint32_t RESMGR_LAYER = 11u << 16;

// TPMA_CC
static constexpr uint32_t CC_NUMBER = 0x2000'ffff; // commandIndex and V (vendor specific)
static constexpr unsigned CC_HANDLES_SHIFT = 25; // 3 bits
static constexpr uint32_t CC_RESPONSE_HANDLE = 1u << 28;

static bool transient(uint32_t handle) { return handle >> 24 == 0x80; }

/* HMAC and policy sessions. */
static bool session(uint32_t handle) { return handle >> 24 == 0x02 || handle >> 24 == 0x03; }

/* Whether a context is to blame for not being loaded, and not the state that the TPM is in. */
static bool spoilt(uint32_t code) { return code & 0x080; } // format one

/* Whether the TPM says that it doesn't have what was to be saved. */
static bool ended(uint32_t code)
{
	return code == TPM_RC_REFERENCE_H0 || (code & 0x0ff) == TPM_RC_HANDLE;
}

static uint32_t index_of(uint32_t handle) { return handle & 0x00ff'ffff; }

static uint32_t u32_at(Bytes bytes, size_t offset)
{
	return load_be<uint32_t>(bytes.subspan(offset).first<4>());
}

/* A response that consists of a code alone. */
static size_t answer(Mutable_bytes response, uint32_t code)
{
	Byte_writer writer{response};
	writer.u16_be(TPM_ST_NO_SESSIONS);
	writer.u32_be(HEADER_BYTES);
	writer.u32_be(code);
	return writer.size();
}

/* A command of the manager, without sessions; the size follows in `sized`. */
static Byte_writer own_command(Mutable_bytes to, uint32_t code)
{
	Byte_writer writer{to};
	writer.u16_be(TPM_ST_NO_SESSIONS);
	writer.u32_be(0);
	writer.u32_be(code);
	return writer;
}

static size_t sized(Byte_writer &writer)
{
	writer.be_at(2, uint32_t(writer.size()));
	return writer.size();
}

/* The command in `_own` becomes its response; yields the response code. */
Task<uint32_t, Error> Resource_manager::_execute_own(Job &job, size_t size)
{
	constexpr unsigned TRIES = 20;
	constexpr uint64_t PAUSE_US = 1'000;
	uint8_t header[HEADER_BYTES];
	copy_bytes(header, Bytes(_own).first(HEADER_BYTES));
	for (unsigned tries = 1;; tries++) {
		CO_TRY_ASSIGN(
			size_t const got, co_await _chip.execute(job, std::span(_own).first(size), _own));
		if (got < HEADER_BYTES) co_return Error::RESPONSE_MALFORMED;
		uint32_t const code = u32_at(_own, 6);
		bool const again = worth_repeating(Response_code{code}) && got == HEADER_BYTES;
		if (!again || tries == TRIES) {
			// What is behind the response must not be taken for a part of it.
			fill_bytes(std::span(_own).subspan(got), 0);
			co_return code;
		}
		// Such a response has overwritten the header only.
		copy_bytes(_own, header);
		if (tries > 1) CO_TRY(co_await sleep_us(job, PAUSE_US));
	}
}

Task<uint32_t, Error> Resource_manager::_capability(
	Job &job, uint32_t capability, uint32_t property)
{
	Byte_writer writer = own_command(_own, TPM_CC_GET_CAPABILITY);
	writer.u32_be(capability);
	writer.u32_be(property);
	writer.u32_be(254); // as many as fit (MAX_CAP_CC)
	return _execute_own(job, sized(writer));
}

/*
 * The TPM itself says how many handles a command and its response have, so that commands which this
 * code has never heard of work, too. Yields the response code if the TPM doesn't answer.
 */
Task<uint32_t, Error> Resource_manager::_learn_commands(Job &job)
{
	struct All_or_none
	{
		Fixed_vector<uint32_t, COMMANDS_MAX> *attributes;
		~All_or_none()
		{
			if (attributes) attributes->clear();
		}
	} learnt{&_attributes};

	uint32_t property = TPM_CC_FIRST;
	while (true) {
		CO_TRY_ASSIGN(uint32_t const code, co_await _capability(job, TPM_CAP_COMMANDS, property));
		if (code != TPM_RC_SUCCESS) co_return code;
		Byte_reader reader{Bytes(_own).subspan(HEADER_BYTES)};
		bool const more = reader.u8() != 0;
		reader.skip(4);
		uint32_t const count = reader.u32_be();
		uint32_t last = 0;
		for (uint32_t i = 0; i < count && reader.ok(); i++) {
			last = reader.u32_be();
			if (!_attributes.push_back(last).ok()) break;
		}
		uint32_t const next = (last & CC_NUMBER) + 1;
		bool const onwards = more && count && reader.ok() && next > property;
		if (!onwards || _attributes.full()) break;
		property = next;
	}
	learnt.attributes = nullptr;
	co_return TPM_RC_SUCCESS;
}

uint32_t const *Resource_manager::_attributes_of(uint32_t command_code) const
{
	for (uint32_t const &attributes : _attributes)
		if ((attributes & CC_NUMBER) == command_code) return &attributes;
	return nullptr;
}

Task<uint32_t, Error> Resource_manager::_flush(Job &job, uint32_t handle)
{
	Byte_writer writer = own_command(_own, TPM_CC_FLUSH_CONTEXT);
	writer.u32_be(handle);
	return _execute_own(job, sized(writer));
}

/* Flushes what must not stay; the TPM is swept later on if it doesn't obey now. */
Task<void, Error> Resource_manager::_discard(Job &job, uint32_t handle)
{
	CO_TRY_ASSIGN(uint32_t const code, co_await _flush(job, handle));
	if (code != TPM_RC_SUCCESS && !ended(code)) _clean = false;
	co_return Ok{};
}

/* The context is behind the header in `_own` then. */
Task<uint32_t, Error> Resource_manager::_save(Job &job, uint32_t handle)
{
	Byte_writer writer = own_command(_own, TPM_CC_CONTEXT_SAVE);
	writer.u32_be(handle);
	return _execute_own(job, sized(writer));
}

Task<uint32_t, Error> Resource_manager::_load(Job &job, Bytes context, uint32_t &handle)
{
	Byte_writer writer = own_command(_own, TPM_CC_CONTEXT_LOAD);
	writer.bytes(context);
	CO_TRY_ASSIGN(uint32_t const code, co_await _execute_own(job, sized(writer)));
	if (code == TPM_RC_SUCCESS) handle = u32_at(_own, HEADER_BYTES);
	co_return code;
}

bool Resource_manager::_owned(uint32_t handle)
{
	// A saved session is not always listed with its type.
	for (Space *space = _spaces.front(); space; space = _spaces.next(*space))
		for (Space::Session const &session : space->_sessions)
			if (session.handle && index_of(session.handle) == index_of(handle)) return true;
	for (Kept const &kept : _kept)
		if (index_of(kept.handle) == index_of(handle)) return true;
	return false;
}

/* Whoever had the session has given it away, or has lost it by a reset of the TPM. */
void Resource_manager::_disown(uint32_t handle)
{
	auto const same = [handle](auto const &other) {
		return other.handle && index_of(other.handle) == index_of(handle);
	};
	_kept.erase_if(same);
	for (Space *space = _spaces.front(); space; space = _spaces.next(*space))
		for (Space::Session &session : space->_sessions)
			if (same(session)) session.drop();
}

void Resource_manager::_gone(Space const &space)
{
	for (Kept &kept : _kept)
		if (kept.saver == &space) kept.saver = nullptr;
}

bool Resource_manager::_kept_by(Space const &space, uint32_t handle) const
{
	for (Kept const &kept : _kept)
		if (kept.handle == handle) return kept.saver == &space;
	return false;
}

/* A TPM knows few sessions: contexts that users throw away must not use them up. */
Task<void, Error> Resource_manager::_limit_kept(Job &job)
{
	while (_kept.size() > KEPT_MAX) {
		CO_TRY(co_await _discard(job, _kept.front().handle));
		_kept.erase(0);
	}
	co_return Ok{};
}

/* Flushes what belongs to nobody of the handles from this one on. */
Task<void, Error> Resource_manager::_sweep(Job &job, uint32_t first_handle)
{
	constexpr unsigned ROUNDS_MAX = 256; // a TPM that always names one more must not keep us here
	// What is loaded though all was put away was loaded by a command whose response got lost: the
	// context that its owner has is void.
	bool const objects = transient(first_handle);
	bool const all = objects || first_handle >> 24 == 0x02;
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		CO_TRY_ASSIGN(
			uint32_t const code, co_await _capability(job, TPM_CAP_HANDLES, first_handle));
		if (code != TPM_RC_SUCCESS) _clean = false;
		if (!_clean) break;
		Byte_reader reader{Bytes(_own).subspan(HEADER_BYTES)};
		bool const more = reader.u8() != 0;
		reader.skip(4);
		uint32_t count = reader.u32_be();
		uint32_t found = 0, last = 0;
		for (; count && reader.ok() && !found; count--) {
			last = reader.u32_be();
			bool const kind = objects ? transient(last) : session(last);
			if (kind && (all || !_owned(last))) found = last;
		}
		if (!found && (!more || !last)) break;
		if (found) CO_TRY(co_await _discard(job, found));
		if (found && !objects) _disown(found);
		if (!_clean) break;
		if (!found) first_handle = (first_handle & 0xff00'0000) | (index_of(last) + 1);
	}
	co_return Ok{};
}

/* After something went wrong: those objects that somebody needs are saved outside of the TPM. */
Task<void, Error> Resource_manager::_sweep(Job &job)
{
	_clean = true;
	CO_TRY(co_await _sweep(job, 0x8000'0000));
	for (Space *space = _spaces.front(); space; space = _spaces.next(*space))
		for (Space::Session &session : space->_sessions)
			if (session.loaded) CO_TRY(co_await space->_put_away(job, session));
	CO_TRY(co_await _sweep(job, 0x0200'0000)); // loaded sessions
	CO_TRY(co_await _sweep(job, 0x0300'0000)); // saved ones
	_leftovers = !_clean;
	co_return Ok{};
}

/*
 * A TPM numbers the contexts of sessions and can't have the oldest and the newest too far apart
 * (TPM 2.0 Part 1, 30.5): saves the oldest one anew, or ends it if a user keeps its context. False
 * if there is none.
 */
Task<bool, Error> Resource_manager::_close_gap(Job &job)
{
	Space::Session *oldest = nullptr;
	uint64_t least = UINT64_MAX;
	for (Space *space = _spaces.front(); space; space = _spaces.next(*space))
		for (Space::Session &session : space->_sessions) {
			if (session.loaded || session.size < sizeof(uint64_t)) continue;
			uint64_t const sequence = load_be<uint64_t>(session.bytes().first<8>());
			if (sequence > least) continue;
			least = sequence;
			oldest = &session;
		}
	if (!_kept.empty() && _kept.front().sequence < least) {
		CO_TRY(co_await _discard(job, _kept.front().handle));
		_kept.erase(0);
		co_return true;
	}
	if (!oldest) co_return false;
	CO_TRY_ASSIGN(uint32_t const code, co_await _load(job, oldest->bytes(), oldest->loaded));
	if (code != TPM_RC_SUCCESS) {
		CO_TRY(co_await _discard(job, oldest->handle));
		oldest->drop();
		co_return true;
	}
	CO_TRY_ASSIGN(uint32_t const saved, co_await _save(job, oldest->loaded));
	size_t const size = u32_at(_own, 2) - HEADER_BYTES;
	if (saved != TPM_RC_SUCCESS || size > Space::SESSION_CONTEXT_MAX) {
		CO_TRY(co_await _discard(job, oldest->handle));
		oldest->drop();
		co_return true;
	}
	oldest->loaded = 0;
	oldest->keep(Bytes(_own).subspan(HEADER_BYTES, size));
	co_return true;
}

/* A sequence object (TPMS_CONTEXT.savedHandle 0x80000001) goes on with each use. */
template <size_t MAX>
bool Space::Context<MAX>::unchanged_by_use() const
{
	constexpr size_t SAVED_HANDLE = 8;
	return size >= SAVED_HANDLE + 4 && u32_at(bytes(), SAVED_HANDLE) != 0x8000'0001;
}

/*
 * While a command of a space goes on: if it ends halfway, the sweep takes the objects out of the
 * TPM, whose handles may mean those of somebody else from then on.
 */
class Space::In_use
{
private:
	Space &_space;

public:
	explicit In_use(Space &space) : _space(space) {}
	In_use(In_use const &) = delete;
	In_use &operator=(In_use const &) = delete;
	~In_use()
	{
		_space._manager._executing = nullptr;
		for (Object &object : _space._objects) {
			if (object.loaded && !object.unchanged_by_use()) object.drop();
			object.loaded = 0;
		}
	}
};

Space::Object *Space::_object(uint32_t handle)
{
	for (Object &object : _objects)
		if (object.handle == handle) return &object;
	return nullptr;
}

Space::Session *Space::_session(uint32_t handle)
{
	for (Session &session : _sessions)
		if (session.handle == handle) return &session;
	return nullptr;
}

/* Counted on, so that a handle that was flushed doesn't mean the next object by chance. */
uint32_t Space::_new_handle()
{
	do {
		_next_handle = (_next_handle + 1) & 0x00ff'ffff;
	} while (_object(0x8000'0000 | _next_handle));
	return 0x8000'0000 | _next_handle;
}

Task<uint32_t, Error> Space::_load_session(Job &job, Session &session)
{
	if (session.loaded || !session.size) co_return TPM_RC_SUCCESS;
	CO_TRY_ASSIGN(uint32_t code, co_await _manager._load(job, session.bytes(), session.loaded));
	if (code == TPM_RC_CONTEXT_GAP) {
		CO_TRY_ASSIGN(bool const closed, co_await _manager._close_gap(job));
		if (closed && session.size) {
			CO_TRY_ASSIGN(code, co_await _manager._load(job, session.bytes(), session.loaded));
		}
	}
	if (!spoilt(code)) co_return code;
	CO_TRY(co_await _manager._discard(job, session.handle));
	session.drop();
	co_return RESMGR_LAYER | TPM_RC_HANDLE;
}

Task<uint32_t, Error> Space::_load_object(Job &job, Object &object)
{
	if (object.loaded) co_return TPM_RC_SUCCESS;
	CO_TRY_ASSIGN(uint32_t const code, co_await _manager._load(job, object.bytes(), object.loaded));
	if (!spoilt(code)) co_return code;
	// A reset of the TPM makes contexts void.
	object.drop();
	co_return RESMGR_LAYER | TPM_RC_HANDLE;
}

/*
 * Brings the object or session into the TPM and replaces its handle by the TPM's. Yields the
 * response code of what went wrong, if it did.
 */
Task<uint32_t, Error> Space::_load(Job &job, uint32_t &handle)
{
	if (session(handle)) {
		Session *const session = _session(handle);
		if (!session) co_return RESMGR_LAYER | TPM_RC_HANDLE;
		co_return co_await _load_session(job, *session);
	}
	if (!transient(handle)) co_return TPM_RC_SUCCESS;
	Object *const object = _object(handle);
	if (!object) co_return RESMGR_LAYER | TPM_RC_HANDLE;
	CO_TRY_ASSIGN(uint32_t const code, co_await _load_object(job, *object));
	if (code == TPM_RC_SUCCESS) handle = object->loaded;
	co_return code;
}

/* Loads all that the command in `_manager._command` refers to: its handles, then its sessions. */
Task<uint32_t, Error> Space::_load_all(Job &job, size_t size, uint32_t attributes)
{
	Mutable_bytes const command = std::span(_manager._command).first(size);
	unsigned const handles = (attributes >> CC_HANDLES_SHIFT) & 7;
	bool const flush = (attributes & CC_NUMBER) == TPM_CC_FLUSH_CONTEXT;
	size_t at = HEADER_BYTES;

	for (unsigned i = 0; i < handles; i++, at += 4) {
		if (size - at < 4) co_return RESMGR_LAYER | TPM_RC_COMMAND_SIZE;
		uint32_t handle = u32_at(command, at);
		CO_TRY_ASSIGN(uint32_t const code, co_await _load(job, handle));
		if (code != TPM_RC_SUCCESS) co_return spoilt(code) ? code | (i + 1) << 8 : code;
		store_be<uint32_t>(command.subspan(at).first<4>(), handle);
	}
	if (flush) co_return TPM_RC_SUCCESS;
	if (load_be<uint16_t>(command.first<2>()) != TPM_ST_SESSIONS) co_return TPM_RC_SUCCESS;

	Byte_reader area{Bytes(command).subspan(at)};
	Byte_reader sessions{area.bytes(area.u32_be())};
	for (unsigned n = 0; sessions.left(); n++) {
		if (n == SESSIONS_IN_COMMAND_MAX) co_return RESMGR_LAYER | TPM_RC_AUTHSIZE;
		uint32_t handle = sessions.u32_be();
		sessions.skip(sessions.u16_be()); // nonce
		sessions.skip(1); // attributes
		sessions.skip(sessions.u16_be()); // HMAC
		if (!sessions.ok()) break;
		if (!session(handle)) continue;
		CO_TRY_ASSIGN(uint32_t const code, co_await _load(job, handle));
		if (code != TPM_RC_SUCCESS) co_return code;
	}
	if (!area.ok() || !sessions.ok()) co_return RESMGR_LAYER | TPM_RC_COMMAND_SIZE;
	co_return TPM_RC_SUCCESS;
}

Task<void, Error> Space::_put_away(Job &job, Object &object)
{
	CO_TRY_ASSIGN(uint32_t const code, co_await _manager._save(job, object.loaded));
	size_t const size = u32_at(_manager._own, 2) - HEADER_BYTES;
	bool const saved = code == TPM_RC_SUCCESS && size <= OBJECT_CONTEXT_MAX;
	if (saved) object.keep(Bytes(_manager._own).subspan(HEADER_BYTES, size));
	// Whatever becomes of the TPM's copy, nobody refers to it any more.
	uint32_t const loaded = std::exchange(object.loaded, 0);
	if (!saved) object.drop();
	if (!ended(code)) CO_TRY(co_await _manager._discard(job, loaded));
	co_return Ok{};
}

Task<void, Error> Space::_put_away(Job &job, Session &session)
{
	constexpr unsigned GAPS_MAX = 64; // as many sessions as a TPM knows
	CO_TRY_ASSIGN(uint32_t code, co_await _manager._save(job, session.loaded));
	for (unsigned i = 0; code == TPM_RC_CONTEXT_GAP && i < GAPS_MAX; i++) {
		CO_TRY_ASSIGN(bool const closed, co_await _manager._close_gap(job));
		if (!closed) break;
		CO_TRY_ASSIGN(code, co_await _manager._save(job, session.loaded));
	}
	size_t const size = u32_at(_manager._own, 2) - HEADER_BYTES;
	session.loaded = 0;
	if (code == TPM_RC_SUCCESS && size <= SESSION_CONTEXT_MAX) {
		session.keep(Bytes(_manager._own).subspan(HEADER_BYTES, size));
		co_return Ok{};
	}
	// It ended with the command, or it can't be kept.
	uint32_t const handle = session.handle;
	session.drop();
	if (!ended(code)) CO_TRY(co_await _manager._discard(job, handle));
	co_return Ok{};
}

/* Takes everything out of the TPM again; what can't be saved has ended or is lost. */
Task<void, Error> Space::_put_away(Job &job)
{
	for (Object &object : _objects)
		if (object.loaded) CO_TRY(co_await _put_away(job, object));
	for (Session &session : _sessions)
		if (session.loaded) CO_TRY(co_await _put_away(job, session));
	co_return co_await _manager._limit_kept(job);
}

/* The first handle of the response is a new object or session: the user's from now on. */
size_t Space::_note_handle(Mutable_bytes response, size_t size)
{
	if (size < HEADER_BYTES + 4) return size;
	uint32_t const handle = u32_at(response, HEADER_BYTES);
	if (transient(handle)) {
		Object *const object = _object(0); // there is one: `_lack_of_room` has seen to it
		if (!object) return size;
		object->handle = _new_handle();
		object->loaded = handle;
		store_be<uint32_t>(response.subspan(HEADER_BYTES).first<4>(), object->handle);
	} else if (session(handle)) {
		_manager._disown(handle);
		Session *const session = _session(0);
		if (!session) return size;
		session->handle = session->loaded = handle;
		session->size = 0;
	}
	return size;
}

size_t Space::_note_response(
	uint32_t code, uint32_t attributes, Mutable_bytes response, size_t size)
{
	if (u32_at(response, 6) != TPM_RC_SUCCESS) return size;
	if (attributes & CC_RESPONSE_HANDLE) return _note_handle(response, size);
	uint32_t const handle = u32_at(_manager._command, HEADER_BYTES);
	if (!session(handle)) return size;
	if (code == TPM_CC_FLUSH_CONTEXT) _manager._disown(handle);
	if (code == TPM_CC_CONTEXT_SAVE && size >= HEADER_BYTES + sizeof(uint64_t)) {
		uint64_t const sequence = load_be<uint64_t>(response.subspan<HEADER_BYTES, 8>());
		_manager._disown(handle);
		(void)_manager._kept.push_back({handle, sequence, this}).ok();
	}
	return size;
}

uint32_t Space::_lack_of_room(Bytes command, uint32_t attributes)
{
	if (!(attributes & CC_RESPONSE_HANDLE)) return TPM_RC_SUCCESS;
	constexpr size_t SAVED_HANDLE = HEADER_BYTES + 8; // of the context that is loaded
	uint32_t const code = u32_at(command, 6);
	bool wants_session = code == TPM_CC_START_AUTH_SESSION;
	if (code == TPM_CC_CONTEXT_LOAD && command.size() >= SAVED_HANDLE + 4) {
		uint32_t const saved = u32_at(command, SAVED_HANDLE);
		wants_session = session(saved);
		if (wants_session && _session(saved)) return TPM_RC_SUCCESS;
	}
	if (wants_session) return _session(0) ? TPM_RC_SUCCESS : RESMGR_LAYER | TPM_RC_SESSION_MEMORY;
	return _object(0) ? TPM_RC_SUCCESS : RESMGR_LAYER | TPM_RC_OBJECT_MEMORY;
}

/* TPM2_GetCapability for handles of a kind that this user has handles of its own of. */
size_t Space::_handles(uint32_t property, size_t count, Mutable_bytes response)
{
	uint32_t handles[std::max(OBJECTS_MAX, SESSIONS_MAX + Resource_manager::KEPT_MAX + 1)];
	size_t found = 0;
	if (transient(property)) {
		for (Object const &object : _objects)
			if (object.handle && object.handle >= property) handles[found++] = object.handle;
	} else {
		// Loaded and saved sessions are told by the kind of handle; all of ours are saved.
		auto const tell = [&](uint32_t handle) {
			if (property >> 24 == 0x03 && index_of(handle) >= index_of(property))
				handles[found++] = handle;
		};
		for (Session const &session : _sessions)
			if (session.handle) tell(session.handle);
		for (Resource_manager::Kept const &kept : _manager._kept)
			if (kept.saver == this) tell(kept.handle);
	}
	std::sort(handles, handles + found);
	size_t const told = std::min(found, count);

	Byte_writer writer{response};
	writer.u16_be(TPM_ST_NO_SESSIONS);
	writer.u32_be(0);
	writer.u32_be(TPM_RC_SUCCESS);
	writer.u8(told < found);
	writer.u32_be(TPM_CAP_HANDLES);
	writer.u32_be(uint32_t(told));
	for (size_t i = 0; i < told; i++) writer.u32_be(handles[i]);
	return sized(writer);
}

/* What concerns the user's own handles only; 0 if the TPM has to be asked. */
size_t Space::_answer_without_tpm(Bytes command, Mutable_bytes response)
{
	uint32_t const code = u32_at(command, 6);
	bool const plain = load_be<uint16_t>(command.first<2>()) == TPM_ST_NO_SESSIONS;
	Byte_reader reader{command.subspan(HEADER_BYTES)};
	if (code == TPM_CC_FLUSH_CONTEXT) {
		// The handle is a parameter: nothing but a command of just this shape is let through.
		uint32_t const handle = reader.u32_be();
		if (!plain) return answer(response, RESMGR_LAYER | TPM_RC_AUTH_CONTEXT);
		if (!reader.complete()) return answer(response, RESMGR_LAYER | TPM_RC_COMMAND_SIZE);
		if (Object *const object = _object(handle); object && handle) {
			object->drop();
			return answer(response, TPM_RC_SUCCESS);
		}
		bool const own = _session(handle) || _manager._kept_by(*this, handle);
		if (transient(handle) || (session(handle) && !own))
			return answer(response, RESMGR_LAYER | TPM_RC_HANDLE | 1u << 8);
	}
	if (code == TPM_CC_GET_CAPABILITY) {
		if (!plain) {
			// Behind the authorizations; it would tell the TPM's handles, and can't be changed.
			reader.skip(reader.u32_be());
		}
		uint32_t const capability = reader.u32_be();
		uint32_t const property = reader.u32_be();
		uint32_t const count = reader.u32_be();
		bool const own = transient(property) || session(property);
		if (!reader.complete() || capability != TPM_CAP_HANDLES || !own) return 0;
		if (!plain) return answer(response, RESMGR_LAYER | TPM_RC_AUTH_CONTEXT);
		return _handles(property, count, response);
	}
	return 0;
}

Task<size_t, Error> Space::_execute_mine(Job &job, Bytes command, Mutable_bytes response)
{
	uint32_t const code = u32_at(command, 6);
	uint32_t const *const attributes = _manager._attributes_of(code);
	if (!attributes) co_return answer(response, RESMGR_LAYER | TPM_RC_COMMAND_CODE);
	if (size_t const size = _answer_without_tpm(command, response)) co_return size;
	if (uint32_t const lack = _lack_of_room(command, *attributes)) co_return answer(response, lack);

	copy_bytes(_manager._command, command);
	_manager._leftovers = true; // until all is put away again
	CO_TRY_ASSIGN(uint32_t const loaded, co_await _load_all(job, command.size(), *attributes));
	if (loaded != TPM_RC_SUCCESS) co_return answer(response, loaded);

	_manager._executing = &job;
	Attempt<size_t, Error> const size = co_await _manager._chip.execute(
		job, std::span(_manager._command).first(command.size()), response);
	_manager._executing = nullptr;
	if (!size.ok()) co_return size;
	if (size.value() < HEADER_BYTES) co_return Error::RESPONSE_MALFORMED;
	co_return _note_response(code, *attributes, response, size.value());
}

/* With the manager's lock held. */
Task<size_t, Error> Space::_execute(Job &job, Bytes command, Mutable_bytes response)
{
	if (_manager._attributes.empty()) {
		CO_TRY_ASSIGN(uint32_t const code, co_await _manager._learn_commands(job));
		// Before TPM2_Startup, and after a failure, there is nothing to manage.
		if (code == TPM_RC_INITIALIZE || code == TPM_RC_FAILURE)
			co_return co_await _manager._chip.execute(job, command, response);
		if (code != TPM_RC_SUCCESS) co_return answer(response, code);
	}
	if (_manager._leftovers) CO_TRY(co_await _manager._sweep(job));

	bool const swept = !_manager._leftovers;

	In_use const in_use{*this};
	_manager._clean = true;
	Attempt<size_t, Error> const size = co_await _execute_mine(job, command, response);
	// What is loaded leaves the TPM whatever became of the command, and of its user's patience.
	Job::Shield const shield{job, NEVER_US};
	Attempt<void, Error> const away = co_await _put_away(job);
	// A command without a response may have made an object or session that nobody knows of.
	if (size.ok() && away.ok() && swept) _manager._leftovers = !_manager._clean;
	if (size.ok() && !away.ok()) co_return Failure{away.error()};
	co_return size;
}

Task<size_t, Error> Space::execute(Job &job, Bytes command, Mutable_bytes response)
{
	if (command.size() < HEADER_BYTES || command.size() > MESSAGE_MAX_BYTES)
		co_return Error::COMMAND_SIZE;
	if (u32_at(command, 2) != command.size()) co_return Error::COMMAND_SIZE;
	if (response.size() < MESSAGE_MAX_BYTES) co_return Error::BUFFER_TOO_SMALL;
	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await _manager._exclusive.acquire(job));
	co_return co_await _execute(job, command, response);
}

bool Space::cancel(Job const &job)
{
	return _manager._executing == &job && _manager._chip.cancel(job);
}

Space::~Space()
{
	_manager._gone(*this);
	for (Object &object : _objects) object.drop();
	for (Session &session : _sessions) {
		if (session.handle) _manager._leftovers = true;
		session.drop();
	}
}

/* Objects are not in the TPM, only their contexts here; sessions are known to it. */
Task<void, Error> Space::forget(Job &job)
{
	CO_TRY_ASSIGN(Mutex::Guard const guard, co_await _manager._exclusive.acquire(job));
	for (Object &object : _objects) object.drop();
	_manager._gone(*this);
	Attempt<void, Error> result{Ok{}};
	_manager._clean = true;
	for (Session &session : _sessions) {
		if (!session.handle) continue;
		Attempt<void, Error> const discarded = co_await _manager._discard(job, session.handle);
		if (!discarded.ok()) result = discarded;
		session.drop();
	}
	if (!result.ok() || !_manager._clean) _manager._leftovers = true;
	co_return result;
}

} // namespace bulkhead::tpm
