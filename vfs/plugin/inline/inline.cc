#include "vfs/plugin/inline/inline.h"

#include "vfs/plugin/leaf.h"
#include "vfs/plugin/ownership.h"

namespace bulkhead::vfs {

namespace {

constexpr Key KEYS[] = {
	{"text", Kind::TEXT, "what stands in the file", true},
	OWNERSHIP_KEYS[0],
	OWNERSHIP_KEYS[1],
	OWNERSHIP_KEYS[2],
};

class Inline_node final : public Leaf
{
private:
	std::span<char> _text{};

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	using Leaf::Leaf;

	~Inline_node()
	{
		if (!_text.empty()) destroy_array(_allocator, _text);
	}

	Attempt<void> set(std::string_view text)
	{
		if (text.empty()) return Ok{};
		_text = TRY(create_array<char>(_allocator, text.size()));
		std::ranges::copy(text, _text.begin());
		return Ok{};
	}

	Type type() const override { return Type::FILE; }
	uint64_t size() override { return _text.size(); }
	uint32_t cache_us() const override { return 1'000'000; }

	Task<size_t> read(Job &, Mutable_bytes to, Io io) override
	{
		return read_text({_text.data(), _text.size()}, to, io.offset);
	}
};

} // namespace

std::span<Key const> Inline_plugin::keys() const { return KEYS; }

Attempt<Made, Config_fault> Inline_plugin::create(
	Config const &config, Context const &context) const
{
	Ownership const ownership = TRY(ownership_of(config, context, 0444));
	std::string_view const text = TRY(config.text("text"));
	auto node = create_counted<Inline_node>(context.allocator, context.calendar, ownership);
	if (!node.ok()) return Config::fault("", node.error());
	auto const kept = node.value()->set(text);
	if (!kept.ok()) return Config::fault("text", kept.error());
	return Made{std::move(node).value(), {}};
}

} // namespace bulkhead::vfs
