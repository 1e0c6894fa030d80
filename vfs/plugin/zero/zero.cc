#include "vfs/plugin/zero/zero.h"

#include "vfs/plugin/leaf.h"
#include "vfs/plugin/ownership.h"

namespace bulkhead::vfs {

namespace {

class Zero_node final : public Leaf
{
protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	using Leaf::Leaf;

	Task<size_t> read(Job &, Mutable_bytes to, Io) override
	{
		fill_bytes(to, 0);
		return to.size();
	}
	Task<size_t> write(Job &, Bytes from, Io) override { return from.size(); }
};

} // namespace

std::span<Key const> Zero_plugin::keys() const { return OWNERSHIP_KEYS; }

Attempt<Made, Config_fault> Zero_plugin::create(Config const &config, Context const &context) const
{
	Ownership const ownership = TRY(ownership_of(config, context, 0666));
	auto node = create_counted<Zero_node>(context.allocator, context.calendar, ownership);
	if (!node.ok()) return Config::fault("", node.error());
	return Made{std::move(node).value(), {}};
}

} // namespace bulkhead::vfs
