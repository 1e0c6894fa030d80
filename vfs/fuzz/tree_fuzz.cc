// Random operations, decoded from bytes, on a tree with every kind of node that needs no host.
// Whatever they are, sizes and limits fit together and all memory comes back.

#include "vfs/plugin/ram/ram.h"
#include "vfs/plugin/test/plugin_world.h"

namespace bulkhead::vfs {
namespace {

constexpr uint64_t BYTES_MAX = 256 * 1024;
constexpr size_t FILES_MAX = 8;
constexpr size_t STEPS_MAX = 4000;

class Player : private Plugin_world
{
private:
	Byte_reader _input;
	std::vector<Ref<File>> _files{};
	std::vector<uint8_t> _memory = std::vector<uint8_t>(16384);

	/* Paths mostly of few names, so that they meet, and sometimes anything. */
	std::string _path()
	{
		static constexpr std::string_view PARTS[] = {
			"ram", "a", "b", "c", "..", ".", "", "null", "zero", "text", "d", "log"};
		uint8_t const kind = _input.u8();
		if (kind >= 0xf8)
			return std::string(text_of(_input.bytes(std::min<size_t>(kind & 7, _input.left()))));
		std::string path = kind & 0x80 ? "/ram" : "";
		for (unsigned i = 0; i < (kind & 3U) + 1; ++i)
			path += "/" + std::string(PARTS[_input.u8() % std::size(PARTS)]);
		if (kind & 0x40) path += "/";
		if (kind & 0x20) path.erase(0, 1);
		return path;
	}

	/* Mostly small, and sometimes at the edges of what can be represented. */
	uint64_t _number()
	{
		uint8_t const kind = _input.u8();
		switch (kind & 7) {
		case 0: return _input.u64_le();
		case 1: return (uint64_t{1} << 63) - 1 - _input.u8();
		case 2: return UINT64_MAX - _input.u8();
		case 3: return uint64_t{1} << (_input.u8() & 63);
		default: return _input.u16_le();
		}
	}

	Access _access()
	{
		uint8_t const bits = _input.u8();
		return {.read = (bits & 1) != 0,
			.write = (bits & 2) != 0,
			.append = (bits & 4) != 0,
			.truncate = (bits & 8) != 0,
			.nonblocking = (bits & 16) != 0};
	}

	File *_file()
	{
		return _files.empty() ? nullptr : _files[_input.u8() % _files.size()].pointer();
	}

	Mutable_bytes _buffer()
	{
		return Mutable_bytes(_memory).first(_input.u16_le() % _memory.size());
	}

	template <typename T>
	bool _done(Task<T> task)
	{
		return wait(std::move(task)).ok();
	}

	void _use_paths(uint8_t operation)
	{
		std::string const a = _path();
		switch (operation) {
		case 0: {
			auto opened = open(a, _access());
			if (!opened.ok()) break;
			if (_files.size() == FILES_MAX) _files.erase(_files.begin());
			_files.push_back(std::move(opened).value());
			break;
		}
		case 1: {
			std::string const target = _path();
			New_node const node{.type = static_cast<Type>(_input.u8() % 4),
				.mode = _input.u16_le(),
				.target = target};
			static_cast<void>(create(a, node));
			break;
		}
		case 2: static_cast<void>(remove(a, _input.u8() & 1)); break;
		case 3: {
			std::string const b = _path();
			static_cast<void>(rename(a, b, static_cast<Rename>(_input.u8() % 3)));
			break;
		}
		case 4: {
			std::string const b = _path();
			_done(tree.link(job, who, a, b));
			break;
		}
		case 5: {
			Changes changes;
			uint8_t const which = _input.u8();
			if (which & 1) changes.mode = _input.u16_le();
			if (which & 2) changes.uid = _input.u8();
			if (which & 4) changes.gid = _input.u8();
			if (which & 8) changes.size = _number();
			if (which & 16) changes.modified_ns = static_cast<int64_t>(_number());
			_done(tree.change(job, who, a, changes));
			break;
		}
		case 6: {
			auto const found = stat(a, static_cast<Last>(_input.u8() & 1));
			if (found.ok()) _check(found.value());
			break;
		}
		default: {
			char target[64];
			_done(tree.read_link(job, who, a, std::span(target, _input.u8() % 64U)));
		}
		}
	}

	void _use_files(uint8_t operation)
	{
		File *const file = _file();
		if (!file) return;
		switch (operation) {
		case 8: {
			Io const io{.offset = _number()};
			Mutable_bytes const to = _buffer();
			auto const n = wait(file->read(job, to, io));
			BULKHEAD_ASSERT(!n.ok() || n.value() <= to.size());
			break;
		}
		case 9: {
			Io const io{.offset = _number()};
			Bytes const from = _buffer();
			auto const n = wait(file->write(job, from, io));
			BULKHEAD_ASSERT(!n.ok() || n.value() <= from.size());
			break;
		}
		case 10: {
			Names names;
			names.room = _input.u8();
			_done(file->read_directory(job, _number(), names));
			for (std::string const &name : names.names) BULKHEAD_ASSERT(!name.empty());
			break;
		}
		case 11: _done(file->close(job)); break;
		case 12: _done(file->control(job, {.command = _input.u32_le()})); break;
		default: _files.erase(_files.begin());
		}
	}

	void _check(Stat const &found)
	{
		BULKHEAD_ASSERT(found.size <= (uint64_t{1} << 63) - 1);
		BULKHEAD_ASSERT(found.used <= BYTES_MAX);
		BULKHEAD_ASSERT((found.mode & ~07777) == 0);
	}

	void _check_space()
	{
		auto const node = wait(tree.resolve(job, {}, "/ram"));
		Space const space = must(wait(must(node)->space(job)));
		BULKHEAD_ASSERT(space.free <= space.total && space.nodes_free <= space.nodes_total);
		BULKHEAD_ASSERT(job.used() == 0);
	}

public:
	explicit Player(Bytes input) : _input(input)
	{
		attach("/ram", "ram", {{"size", int64_t{BYTES_MAX}}, {"nodes", 64}, {"mode", "0777"}});
		attach("/null", "null");
		attach("/zero", "zero");
		attach("/text", "inline", {{"text", "hello"}});
		attach("/d/log", "log");
	}
	~Player()
	{
		_files.clear();
		tree = Tree::create(heap, calendar).value();
		// The tree's root is what is left, and goes after this check.
		BULKHEAD_ASSERT(heap.blocks == 1);
	}

	void play()
	{
		for (size_t step = 0; step < STEPS_MAX && _input.left(); ++step) {
			uint8_t const operation = _input.u8();
			if ((operation & 0xf0) == 0xf0) who.uid = operation & 3;
			if ((operation & 0xf0) == 0xe0)
				heap.limit = operation & 1 ? heap.used + 5000 : SIZE_MAX;
			++calendar.time_ns;
			if ((operation & 0xf) < 8)
				_use_paths(operation & 0xf);
			else
				_use_files(operation & 0xf);
		}
		heap.limit = SIZE_MAX;
		_check_space();
	}
};

} // namespace
} // namespace bulkhead::vfs

extern "C" int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
	bulkhead::vfs::Player({data, size}).play();
	return 0;
}
