#include "vfs/plugin/null/null.h"

#include "vfs/plugin/leaf.h"
#include "vfs/plugin/ownership.h"

namespace bulkhead::vfs {

namespace {

class Null_node final : public Leaf
{
protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	using Leaf::Leaf;

	Task<size_t> read(Job &, Mutable_bytes, Io) override { return size_t{0}; }
	Task<size_t> write(Job &, Bytes from, Io) override { return from.size(); }
};

} // namespace

std::span<Key const> Null_plugin::keys() const { return OWNERSHIP_KEYS; }

Attempt<Made, Config_fault> Null_plugin::create(Config const &config, Context const &context) const
{
	Ownership const ownership = TRY(ownership_of(config, context, 0666));
	auto node = create_counted<Null_node>(context.allocator, context.calendar, ownership);
	if (!node.ok()) return Config::fault("", node.error());
	return Made{std::move(node).value(), {}};
}

} // namespace bulkhead::vfs
