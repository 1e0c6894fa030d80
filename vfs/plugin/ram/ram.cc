#include "vfs/plugin/ram/ram.h"

#include "vfs/plugin/ownership.h"
#include "vfs/plugin/ram/nodes.h"

namespace bulkhead::vfs {

namespace {

constexpr Key KEYS[] = {
	{"size", Kind::SIZE, "the most that all files take, e.g. \"64 MiB\""},
	{"nodes", Kind::NUMBER, "the most files, directories and links"},
	OWNERSHIP_KEYS[0],
	OWNERSHIP_KEYS[1],
	OWNERSHIP_KEYS[2],
};

} // namespace

Attempt<Ref<Node>> create_ram(
	Allocator &allocator, Calendar const &calendar, Ram_limits const &limits, Ownership const &root)
{
	auto volume = create<Ram_volume>(allocator, allocator, calendar, limits);
	if (!volume.ok()) return volume.error();
	Ref<Ram_volume> const kept(volume.value());
	return Ref<Node>(TRY(Ram_directory::create(*kept, root)));
}

std::span<Key const> Ram_plugin::keys() const { return KEYS; }

Attempt<Made, Config_fault> Ram_plugin::create(Config const &config, Context const &context) const
{
	Ram_limits limits;
	limits.bytes = TRY(config.size("size", limits.bytes));
	limits.nodes = TRY(config.number("nodes", limits.nodes, 1, uint64_t{1} << 32));
	Ownership const ownership = TRY(ownership_of(config, context, 0755));
	auto root = create_ram(context.allocator, context.calendar, limits, ownership);
	if (!root.ok()) return Config::fault("", root.error());
	return Made{std::move(root).value(), {}};
}

} // namespace bulkhead::vfs
