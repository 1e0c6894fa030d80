// Several users give arbitrary commands through a resource manager to a TPM that may answer
// arbitrarily. As long as the TPM is honest, nobody reaches what belongs to another.

#include "base/sync_wait.h"
#include "driver/tpm/resource_manager.h"

#include <cstdlib>
#include <map>
#include <vector>

namespace bulkhead::tpm {
namespace {

void demand(bool condition)
{
	if (!condition) abort();
}

using Message = std::vector<uint8_t>;

struct Input
{
	Bytes bytes;

	uint8_t u8()
	{
		if (bytes.empty()) return 0;
		uint8_t const byte = bytes.front();
		bytes = bytes.subspan(1);
		return byte;
	}
	Message take(size_t n)
	{
		n = std::min(n, bytes.size());
		Message const taken(bytes.begin(), bytes.begin() + ptrdiff_t(n));
		bytes = bytes.subspan(n);
		return taken;
	}
};

struct Fake_clock final : Clock
{
	uint64_t time_us = 0;

	uint64_t now_us() const override { return time_us; }
};

struct Writer
{
	Message bytes{};

	Writer &u8(unsigned value)
	{
		bytes.push_back(uint8_t(value));
		return *this;
	}
	Writer &u16(unsigned value) { return u8(value >> 8).u8(value); }
	Writer &u32(uint32_t value) { return u16(value >> 16).u16(value); }
};

constexpr uint32_t CREATE = 0x131, USE = 0x15e, START = 0x176, LOAD = 0x161, SAVE = 0x162,
				   FLUSH = 0x165, CAPABILITY = 0x17a, USE_TWO = 0x148;
constexpr uint32_t NEW_HANDLE = 1u << 28;

/* As much of a TPM as the manager depends on; it knows whose everything is. */
class Small_tpm final : public Interface
{
private:
	static constexpr unsigned SLOTS = 3;

	Input &_input;
	std::map<uint32_t, unsigned> _loaded{}; // handle → owner
	std::map<uint32_t, unsigned> _saved{}; // sessions
	uint32_t _next_session = 0;
	uint64_t _sequence = 0;

	static bool _object(uint32_t handle) { return handle >> 24 == 0x80; }
	static bool _session(uint32_t handle) { return handle >> 24 == 2 || handle >> 24 == 3; }

	size_t _count(bool objects) const
	{
		size_t n = 0;
		for (auto const &[handle, owner] : _loaded) n += objects == _object(handle);
		return n;
	}

	uint32_t _place(unsigned owner)
	{
		uint32_t handle = 0x8000'0000;
		while (_loaded.contains(handle)) ++handle;
		_loaded[handle] = owner;
		return handle;
	}

	/* What is used belongs to whoever uses it, or isn't there. */
	bool _usable(uint32_t handle) const
	{
		auto const found = _loaded.find(handle);
		if (found == _loaded.end()) return !_object(handle) && !_session(handle);
		demand(!honest || found->second == user);
		return true;
	}

	uint32_t _capabilities(Byte_reader &reader, Writer &out)
	{
		uint32_t const capability = reader.u32_be(), first = reader.u32_be();
		std::vector<uint32_t> list;
		if (capability == 2)
			list = {CREATE | 1u << 25 | NEW_HANDLE, USE_TWO | 2u << 25, USE | 1u << 25,
				LOAD | NEW_HANDLE, SAVE | 1u << 25, FLUSH, START | 2u << 25 | NEW_HANDLE,
				CAPABILITY};
		bool const saved = first >> 24 == 3;
		for (auto const &[handle, owner] : saved ? _saved : _loaded)
			if (capability == 1 && _object(handle) == _object(first) &&
				(handle & 0xffffff) >= (first & 0xffffff))
				list.push_back(handle);
		out.u8(0).u32(capability).u32(uint32_t(list.size()));
		for (uint32_t one : list) out.u32(one);
		return 0;
	}

	uint32_t _save(Byte_reader &reader, Writer &out)
	{
		uint32_t const handle = reader.u32_be();
		auto const found = _loaded.find(handle);
		if (found == _loaded.end()) return 0x910;
		out.u32(0).u32(uint32_t(++_sequence)).u32(_object(handle) ? 0x8000'0000 : handle);
		out.u32(0x4000'0001).u16(1).u8(found->second);
		if (_object(handle)) return 0;
		_saved[handle] = found->second;
		_loaded.erase(found);
		return 0;
	}

	uint32_t _load(Byte_reader &reader, Writer &out)
	{
		reader.skip(8);
		uint32_t const handle = reader.u32_be();
		reader.skip(4 + 2);
		unsigned const owner = reader.u8();
		if (!reader.complete()) return 0x95;
		if (_count(_object(handle)) >= SLOTS) return _object(handle) ? 0x902 : 0x903;
		if (_object(handle)) {
			out.u32(_place(owner));
			return 0;
		}
		if (!_saved.erase(handle)) return 0x8b;
		_loaded[handle] = owner;
		out.u32(handle);
		return 0;
	}

	uint32_t _use(Byte_reader &reader, unsigned handles, bool authorized)
	{
		while (handles--)
			if (!_usable(reader.u32_be())) return 0x8b;
		Byte_reader area{authorized ? reader.bytes(reader.u32_be()) : Bytes{}};
		while (area.left()) {
			uint32_t const session = area.u32_be();
			area.skip(area.u16_be());
			bool const goes_on = area.u8() & 1;
			area.skip(area.u16_be());
			if (!area.ok() || !_usable(session)) return 0x8b;
			if (!goes_on && _session(session)) _loaded.erase(session);
		}
		return reader.ok() ? 0 : 0x9a;
	}

	uint32_t _run(Bytes command, Writer &out)
	{
		Byte_reader reader{command};
		bool const authorized = reader.u16_be() == 0x8002;
		reader.skip(4);
		switch (reader.u32_be()) {
		case CAPABILITY: return authorized ? 0x145 : _capabilities(reader, out);
		case SAVE: return authorized ? 0x145 : _save(reader, out);
		case LOAD: return authorized ? 0x145 : _load(reader, out);
		case FLUSH: {
			uint32_t const handle = reader.u32_be();
			if (authorized || !reader.complete()) return 0x145;
			return _loaded.erase(handle) + _saved.erase(handle) ? 0 : 0x8b;
		}
		case USE: return _use(reader, 1, authorized);
		case USE_TWO: return _use(reader, 2, authorized);
		case CREATE:
			if (uint32_t const code = _use(reader, 1, authorized)) return code;
			if (_count(true) >= SLOTS) return 0x902;
			out.u32(_place(user));
			return 0;
		case START:
			if (_count(false) >= SLOTS || _saved.size() > 60) return 0x903;
			_loaded[0x0200'0000 | _next_session] = user;
			out.u32(0x0200'0000 | _next_session++);
			return 0;
		default: return 0x143;
		}
	}

public:
	bool honest = true;
	unsigned user = 0;

	explicit Small_tpm(Input &input) : _input(input) {}

	Task<size_t, Error> execute(Job &, Bytes command, Mutable_bytes response) override
	{
		uint8_t const mood = _input.u8();
		if (mood == 0xff || mood == 0xfe) {
			// A response that is lost: the TPM has executed the command, or it hasn't.
			Writer lost;
			if (mood == 0xff) (void)_run(command, lost);
			return Error::HUNG;
		}
		Message answer;
		if (mood == 0xfd) {
			honest = false;
			answer = _input.take(_input.u8() * 17u);
		} else {
			Writer out;
			uint32_t const code = mood == 0xfc ? 0x922u : _run(command, out);
			Writer head;
			head.u16(0x8001).u32(uint32_t(10 + (code ? 0 : out.bytes.size()))).u32(code);
			answer = head.bytes;
			if (!code) answer.insert(answer.end(), out.bytes.begin(), out.bytes.end());
		}
		return copy_bytes(response, answer);
	}

	bool cancel(Job const &) override { return false; }

	/* Nothing is left but sessions that users have saved, of which the manager keeps a few. */
	bool forgotten() const { return _loaded.empty() && _saved.size() <= 16; }
};

/* A command with handles and sessions from a small range, so that they often mean something. */
Message some_command(Input &input, std::vector<Message> const &contexts)
{
	constexpr uint32_t CODES[] = {CREATE, USE, USE_TWO, START, LOAD, SAVE, FLUSH, CAPABILITY};
	auto const handle = [&] {
		uint8_t const byte = input.u8();
		uint32_t const kinds[] = {0x8000'0000, 0x0200'0000, 0x4000'0000, 0x0300'0000};
		return kinds[byte >> 6] | (byte & 0x3f);
	};
	uint8_t const what = input.u8();
	if (what == 0xff) return input.take(input.u8());
	uint32_t const code = CODES[what & 7];
	bool const authorized = what & 8;
	Writer out;
	out.u16(authorized ? 0x8002 : 0x8001).u32(0).u32(code);
	unsigned const handles = code == USE_TWO || code == START ? 2
		: code == CREATE || code == USE || code == SAVE       ? 1
															  : 0;
	for (unsigned i = 0; i < handles; ++i) out.u32(handle());
	if (authorized) {
		unsigned const sessions = input.u8() % 5;
		out.u32(9 * sessions + (what & 0x80 ? input.u8() : 0));
		for (unsigned i = 0; i < sessions; ++i) out.u32(handle()).u16(0).u8(input.u8()).u16(0);
	}
	if (code == FLUSH) out.u32(handle());
	if (code == CAPABILITY) out.u32(input.u8() % 3).u32(handle()).u32(input.u8());
	if (code == LOAD && !contexts.empty()) {
		Message const &context = contexts[input.u8() % contexts.size()];
		out.bytes.insert(out.bytes.end(), context.begin(), context.end());
	}
	if (what & 0x40) out.u8(input.u8());
	store_be<uint32_t>(std::span(out.bytes).subspan<2, 4>(), uint32_t(out.bytes.size()));
	return out.bytes;
}

void run(Bytes bytes)
{
	constexpr unsigned USERS = 3, COMMANDS_MAX = 200;
	Input input{bytes};
	Fake_clock clock;
	Executor executor{clock};
	Job_with_arena<16384> job{executor};
	Small_tpm tpm{input};
	Resource_manager manager{tpm};
	Space spaces[USERS]{Space{manager}, Space{manager}, Space{manager}};
	std::vector<Message> contexts[USERS];
	static uint8_t response[MESSAGE_MAX_BYTES];
	auto const poll = [&](uint64_t until_us) { clock.time_us = until_us; };

	for (unsigned n = 0; n < COMMANDS_MAX && !input.bytes.empty(); ++n) {
		unsigned const user = tpm.user = input.u8() % USERS;
		Message const command = some_command(input, contexts[user]);
		Attempt<size_t, Error> const size =
			sync_wait(job, spaces[user].execute(job, command, response), poll);
		demand(job.used() == 0);
		if (!size.ok()) continue;
		if (tpm.honest) demand(size.value() >= HEADER_BYTES);
		bool const saved = command.size() >= 10 && size.value() > 20 &&
			load_be<uint32_t>(Bytes{command}.subspan<6, 4>()) == SAVE;
		if (saved) contexts[user].emplace_back(response + HEADER_BYTES, response + size.value());
	}
	// At the end each user is forgotten, and an honest TPM that obeys again holds nothing.
	input.bytes = {};
	for (unsigned user = 0; user < USERS; ++user) {
		tpm.user = user;
		(void)sync_wait(job, spaces[user].forget(job), poll);
	}
	Message const nothing{0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x5e};
	(void)sync_wait(job, spaces[0].execute(job, nothing, response), poll);
	if (tpm.honest) demand(tpm.forgotten());
}

} // namespace
} // namespace bulkhead::tpm

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	bulkhead::tpm::run({data, size});
	return 0;
}
