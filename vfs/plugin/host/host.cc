#include "vfs/plugin/host/host.h"

#include "base/fixed_string.h"
#include "vfs/plugin/host/system.h"

#include <cerrno>
#include <fcntl.h>

namespace bulkhead::vfs {

namespace {

constexpr uint64_t OPEN_FILES_LEAST = 16;
constexpr uint64_t OPEN_FILES_MOST = 65536;

constexpr Key KEYS[] = {
	{"path", Kind::TEXT, "the directory of the host to show", true},
	{"writable", Kind::BOOLEAN, "whether it may be changed (false)"},
	{"open_files", Kind::NUMBER, "the most descriptors to use (256)"},
};

} // namespace

Attempt<Ref<Node>> create_host(Allocator &allocator, Offload &offload, Host_options const &options)
{
	Unique_fd proc(open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (!proc) return Error::NOT_SUPPORTED;
	Unique_fd directory(open(options.path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (!directory) return error_of_errno(errno);
	Found found = TRY(host::inspect(std::move(directory)));
	Host_volume &made =
		TRY(create<Host_volume>(allocator, allocator, offload, std::move(proc), options));
	Ref<Host_volume> const volume(made);
	return Ref<Node>(TRY(volume->node_of(std::move(found), nullptr, {})));
}

std::span<Key const> Host_plugin::keys() const { return KEYS; }

Attempt<Made, Config_fault> Host_plugin::create(Config const &config, Context const &context) const
{
	auto const path = Fixed_string<4095>::from(TRY(config.text("path")));
	Host_options options;
	options.writable = TRY(config.boolean("writable", options.writable));
	options.open_files = static_cast<unsigned>(
		TRY(config.number("open_files", options.open_files, OPEN_FILES_LEAST, OPEN_FILES_MOST)));
	if (!path.ok()) return Config::fault("path", path.error());
	if (!context.offload)
		return Config::fault("", "no threads for calls that block were given", {});
	options.path = path.value().c_str();
	auto root = create_host(context.allocator, *context.offload, options);
	if (root.ok()) return Made{std::move(root).value(), {}};
	if (root.error() == Error::NOT_SUPPORTED)
		return Config::fault("", "/proc is missing", "mount it: mount -t proc proc /proc");
	Config_fault fault = Config::fault("path", root.error());
	static_cast<void>(fault.remedy.append("name a directory that exists and may be read"));
	return fault;
}

} // namespace bulkhead::vfs
