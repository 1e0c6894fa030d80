#include "vfs/plugin/char_device/char_device.h"

#include "vfs/plugin/char_device/devices.h"
#include "vfs/plugin/char_device/information.h"
#include "vfs/plugin/ownership.h"

namespace bulkhead::vfs {

namespace {

constexpr Key KEYS[] = {
	{"device", Kind::TEXT, "the name of a device of the manifest", true},
	{"information", Kind::BOOLEAN, "whether a directory .NAME tells of the device (true)"},
	OWNERSHIP_KEYS[0],
	OWNERSHIP_KEYS[1],
	OWNERSHIP_KEYS[2],
};

Config_fault no_such_device(Devices const *devices)
{
	Config_fault fault = Config::fault("device", "names no device of the manifest");
	bool fits = fault.remedy.append("there are: ").ok();
	for (size_t i = 0; fits && devices && !devices->name(i).empty(); ++i)
		fits = fault.remedy.append(i ? ", " : "", devices->name(i)).ok();
	if (!devices || devices->name(0).empty()) {
		fault.remedy.clear();
		static_cast<void>(fault.remedy.append("add the device to the manifest"));
	}
	return fault;
}

} // namespace

Attempt<Made> show_char_device(Context const &context, Char_device &device, std::string_view name,
	Ownership const &ownership, bool with_information)
{
	Ref<Char_node> node = TRY(create_counted<Char_node>(
		context.allocator, context.executor, context.calendar, device, ownership));
	Ref<Node> information;
	if (with_information) information = TRY(create_information(context, node, name, ownership));
	return Made{std::move(node), std::move(information)};
}

std::span<Key const> Char_device_plugin::keys() const { return KEYS; }

Attempt<Made, Config_fault> Char_device_plugin::create(
	Config const &config, Context const &context) const
{
	std::string_view const name = TRY(config.text("device"));
	bool const with_information = TRY(config.boolean("information", true));
	Ownership const ownership = TRY(ownership_of(config, context, 0660));
	Char_device *const device = context.devices ? context.devices->find(name) : nullptr;
	if (!device) return no_such_device(context.devices);
	auto made = show_char_device(context, *device, name, ownership, with_information);
	if (!made.ok()) return Config::fault("", made.error());
	return std::move(made).value();
}

} // namespace bulkhead::vfs
