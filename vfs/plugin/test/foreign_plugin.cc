// Shared objects that are no plugins of this program, as a test loads them.

#include "vfs/plugin/entry_point.h"

namespace bulkhead::vfs {
namespace {

class Null_again final : public Plugin
{
public:
	std::string_view name() const override { return "null"; }
	Attempt<Made, Config_fault> create(Config const &, Context const &) const override
	{
		return Config::fault("", Error::NOT_SUPPORTED);
	}
};

constinit Null_again const plugin{};

constexpr Plugin_description described()
{
	Plugin_description description = describe_plugin(&plugin);
#if defined(OTHER_ABI)
	description.abi = 999;
#elif defined(OTHER_SIZE)
	description.job_size += 8;
#endif
	return description;
}

constinit Plugin_description const description = described();

} // namespace
} // namespace bulkhead::vfs

#if !defined(NO_ENTRY)
extern "C" bulkhead::vfs::Plugin_description const *bulkhead_vfs_plugin()
{
	return &bulkhead::vfs::description;
}
#else
extern "C" bulkhead::vfs::Plugin_description const *another_entry()
{
	return &bulkhead::vfs::description;
}
#endif
