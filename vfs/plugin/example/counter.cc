// A plugin to start from, as a shared object: a file that says how often it was read.

#include "base/fixed_string.h"
#include "vfs/plugin/entry_point.h"
#include "vfs/plugin/leaf.h"
#include "vfs/plugin/ownership.h"

namespace bulkhead::vfs {

namespace {

constexpr Key KEYS[] = {
	{"start", Kind::NUMBER, "what to count from (0)"},
	OWNERSHIP_KEYS[0],
	OWNERSHIP_KEYS[1],
	OWNERSHIP_KEYS[2],
};

class Counter final : public Leaf
{
private:
	uint64_t _count;

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Counter(
		Allocator &allocator, Calendar const &calendar, Ownership const &ownership, uint64_t start)
		: Leaf(allocator, calendar, ownership), _count(start)
	{}

	Task<size_t> read(Job &, Mutable_bytes to, Io io) override
	{
		if (io.offset == 0) ++_count;
		Fixed_string<24> line;
		static_cast<void>(line.append(_count, '\n'));
		return read_text(line, to, io.offset);
	}
};

class Counter_plugin final : public Plugin
{
public:
	std::string_view name() const override { return "counter"; }
	std::span<Key const> keys() const override { return KEYS; }

	Attempt<Made, Config_fault> create(Config const &config, Context const &context) const override
	{
		Ownership const ownership = TRY(ownership_of(config, context, 0444));
		uint64_t const start = TRY(config.number("start", 0));
		auto node = create_counted<Counter>(context.allocator, context.calendar, ownership, start);
		if (!node.ok()) return Config::fault("", node.error());
		return Made{std::move(node).value(), {}};
	}
};

} // namespace

} // namespace bulkhead::vfs

BULKHEAD_VFS_PLUGIN(bulkhead::vfs::Counter_plugin)
