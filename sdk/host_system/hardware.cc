#include "sdk/host_system/hardware.h"

#include "base/sync_wait.h"
#include "driver/tpm/resource_manager.h"
#include "driver/tpm/spi_access.h"
#include "driver/tpm/tis.h"
#include "driver/tpm/tpm_device.h"
#include "platform/sim/swtpm_source.h"
#include "platform/sim/tpm_wire.h"

#include <deque>
#include <fmt/format.h>

namespace bulkhead::host_system {

namespace {

constexpr size_t START_ARENA_BYTES = 16384;
constexpr uint64_t START_US = 30'000'000; // for a driver to find its chip
constexpr uint64_t SESSIONS_MAX = 64;
constexpr uint64_t PATIENCE_US =
	1'000; // of a nonblocking write: shorter than a poll by FUSE is slow

constexpr vfs::Key CONTROLLERS[] = {
	{"sim", vfs::Kind::TEXT, "a simulated wire with a TPM behind it"},
	{"spidev", vfs::Kind::TEXT, "a bus of Linux"},
};

constexpr vfs::Key BUS_KEYS[] = {
	{"controller", vfs::Kind::TEXT, "\"sim\" or \"spidev\"", true},
	{"swtpm", vfs::Kind::TEXT, "sim: socket of a running swtpm, a path or host:port"},
	{"swtpm_control", vfs::Kind::TEXT, "sim: its control socket"},
	{"device", vfs::Kind::TEXT, "spidev: the device file"},
};

constexpr vfs::Key DRIVERS[] = {{"tpm", vfs::Kind::TEXT, "a TPM 2.0 with the FIFO interface"}};

constexpr vfs::Key DEVICE_KEYS[] = {
	{"driver", vfs::Kind::TEXT, "\"tpm\"", true},
	{"bus", vfs::Kind::TEXT, "the name of a [bus.…]", true},
	{"chip_select", vfs::Kind::NUMBER, "0 to 7"},
	{"clock_hz", vfs::Kind::NUMBER, "the highest that the chip supports"},
	{"mode", vfs::Kind::NUMBER, "SPI mode, 0 to 3"},
	{"open", vfs::Kind::TEXT, "\"exclusive\", \"queued\" or \"shared\""},
	{"sessions", vfs::Kind::NUMBER, "how many may have it open or wait for it"},
	{"locality", vfs::Kind::NUMBER, "0 to 4"},
};

constexpr vfs::Key SHARINGS[] = {
	{"exclusive", vfs::Kind::TEXT, "a second opener is told that it is busy"},
	{"queued", vfs::Kind::TEXT, "a second opener waits"},
	{"shared", vfs::Kind::TEXT, "each opener has a resource manager of its own"},
};

bool among(std::string_view name, std::span<vfs::Key const> names)
{
	return std::ranges::find(names, name, &vfs::Key::name) != names.end();
}

tpm::Sharing sharing_of(std::string_view name)
{
	if (name == "queued") return tpm::Sharing::QUEUED;
	if (name == "shared") return tpm::Sharing::SHARED;
	return tpm::Sharing::EXCLUSIVE;
}

/* The settings of a device on an SPI bus. Errors: a fault of a key. */
struct Device_settings
{
	spi::Chip chip{};
	tpm::Sharing sharing = tpm::Sharing::EXCLUSIVE;
	size_t sessions = 1;
	uint8_t locality = 0;

	static Attempt<Device_settings, vfs::Config_fault> read(Section const &section)
	{
		Device_settings result;
		result.chip.select = static_cast<uint8_t>(TRY(section.number("chip_select", 0, 0, 7)));
		result.chip.clock_hz = static_cast<uint32_t>(
			TRY(section.number("clock_hz", result.chip.clock_hz, 1, 1'000'000'000)));
		result.chip.mode = static_cast<spi::Mode>(TRY(section.number("mode", 0, 0, 3)));
		result.locality = static_cast<uint8_t>(TRY(section.number("locality", 0, 0, 4)));
		result.sharing = sharing_of(TRY(section.text("open", "exclusive")));
		size_t const usual = result.sharing == tpm::Sharing::EXCLUSIVE ? 1 : 16;
		result.sessions = TRY(section.number("sessions", usual, 1, SESSIONS_MAX));
		return result;
	}
};

} // namespace

class Bus_host
{
public:
	virtual ~Bus_host() = default;

	virtual spi::Bus &bus() = 0;
	virtual std::optional<Trouble> open(Wires &wires, linux_host::Loop &loop) = 0;

	/* Whether the interrupt of the chip behind this chip select reaches us. */
	virtual bool has_interrupt(uint8_t /* select */) const { return false; }

	/* Tells the driver of that interrupt from now on; null: nobody. */
	virtual void connect_interrupt(uint8_t /* select */, tpm::Tis *) {}
};

class Device_host
{
public:
	virtual ~Device_host() = default;

	virtual Char_device &device() = 0;
};

namespace {

class Interrupt_line final : public sim::Interrupt
{
public:
	tpm::Tis *driver = nullptr;

	void asserted() override
	{
		if (driver) driver->interrupt();
	}
};

class Simulated_bus final : public Bus_host
{
private:
	static constexpr uint8_t CHIP_SELECT = 0; // that of the only chip

	Section const &_section;
	Interrupt_line _interrupt{};
	sim::Swtpm _swtpm{};
	sim::Swtpm_source _source{_swtpm};
	sim::Tpm_registers _registers{_source};
	sim::Tpm_wire _wire{};
	spi::Bus _bus{_wire};

public:
	explicit Simulated_bus(Section const &section) : _section(section)
	{
		_wire.attach(CHIP_SELECT, _registers);
		_registers.connect(&_interrupt);
	}
	~Simulated_bus() override
	{
		if (linux_host::Loop *const loop = _source.loop()) loop->remove(_source);
	}

	spi::Bus &bus() override { return _bus; }

	bool has_interrupt(uint8_t select) const override { return select == CHIP_SELECT; }
	void connect_interrupt(uint8_t select, tpm::Tis *driver) override
	{
		if (has_interrupt(select)) _interrupt.driver = driver;
	}

	std::optional<Trouble> open(Wires &wires, linux_host::Loop &loop) override
	{
		if (auto trouble = wires.connect(_section, _swtpm)) return trouble;
		Attempt<void> const watched = _source.watch(loop);
		if (watched.ok()) return {};
		return Trouble{fmt::format("{}: {}", _section.heading, name_of(watched.error()))};
	}
};

class Spidev_bus final : public Bus_host
{
private:
	Section const &_section;
	std::unique_ptr<linux_host::Spidev> _controller;
	spi::Bus _bus{*_controller};

public:
	Spidev_bus(Section const &section, Wires &wires)
		: _section(section), _controller(wires.make_spidev())
	{}

	spi::Bus &bus() override { return _bus; }

	std::optional<Trouble> open(Wires &wires, linux_host::Loop &) override
	{
		return wires.open(_section, *_controller);
	}
};

class Tpm_host final : public Device_host
{
private:
	Section const &_section;
	Bus_host &_bus;
	spi::Device _chip;
	tpm::Spi_access _access{_chip};
	tpm::Tis _tis;
	tpm::Resource_manager _manager{_tis};
	tpm::Tpm_device _device;
	std::deque<tpm::Space> _spaces{};
	std::deque<tpm::Command_filter> _filters{};
	std::deque<tpm::Tpm_session> _sessions{};

public:
	Tpm_host(Section const &section, Bus_host &bus, Device_settings const &settings,
		Executor &executor, tpm::Command_policy *commands)
		: _section(section),
		  _bus(bus),
		  _chip(bus.bus(), settings.chip),
		  _tis(_access,
			  {.locality = settings.locality,
				  .interrupts = bus.has_interrupt(settings.chip.select)}),
		  _device(_tis, settings.sharing)
	{
		bus.connect_interrupt(settings.chip.select, &_tis);
		bool const shared = settings.sharing == tpm::Sharing::SHARED;
		for (size_t i = 0; i < settings.sessions; ++i) {
			tpm::Interface *interface = &_tis;
			if (shared) interface = &_spaces.emplace_back(_manager);
			if (commands) interface = &_filters.emplace_back(*interface, *commands);
			_device.add(
				_sessions.emplace_back(executor, *interface, _device.openers(), PATIENCE_US));
		}
	}

	~Tpm_host() override { _bus.connect_interrupt(_chip.chip().select, nullptr); }

	Char_device &device() override { return _device; }

	std::optional<Trouble> start(linux_host::Loop &loop)
	{
		Job_with_arena<START_ARENA_BYTES> job{loop.executor()};
		Job::Deadline const deadline(job, deadline_after_us(loop.clock().now_us(), START_US));
		Attempt<void, tpm::Error> const started = sync_wait(job, _tis.start(job), loop);
		if (started.ok()) return {};
		std::string remedy = "look at bus, chip_select, clock_hz and mode";
		if (started.error() == tpm::Error::NOT_FIFO || started.error() == tpm::Error::NOT_TPM2)
			remedy = "this driver is for a TPM 2.0 with the FIFO interface";
		if (started.error() == tpm::Error::LOCALITY_DENIED)
			remedy = "somebody else uses the TPM; end that, or set 'locality'";
		return Trouble{
			fmt::format("{}: {}", _section.heading, tpm::name_of(started.error())), remedy};
	}
};

/* What a device says of itself as long as nobody drives it. */
class Described_device final : public Device_host, public Char_device
{
private:
	Section const &_section;

public:
	explicit Described_device(Section const &section) : _section(section) {}

	Char_device &device() override { return *this; }
	std::string_view kind() const override { return _section.text_of("driver"); }
	Task<Char_session *> open(Job &, Opener const &) override { return Error::GONE; }
	void describe(Info_sink &sink) const override
	{
		for (Section::Setting const &setting : _section.settings) {
			if (setting.value.type == vfs::Config_value::Type::TEXT)
				sink.info(setting.key, setting.value.text);
			else
				sink.info(setting.key, std::to_string(setting.value.number));
		}
	}
};

} // namespace

Hardware::Hardware(
	linux_host::Loop &loop, Wires &wires, Manifest &manifest, tpm::Command_policy *commands)
	: _loop(loop), _wires(wires), _manifest(manifest), _commands(commands)
{}

Hardware::~Hardware() { forget(); }

void Hardware::forget()
{
	// Devices stand on buses.
	_devices.clear();
	_buses.clear();
}

void Hardware::_check_bus(Section const &section)
{
	std::vector<Fault> &faults = _manifest.faults;
	section.check_keys(BUS_KEYS, {}, faults);
	for (vfs::Key const &key : BUS_KEYS) {
		auto const text = section.text(key.name);
		if (!text.ok()) faults.push_back(section.located(text.error()));
	}
	std::string_view const controller = section.text_of("controller");
	if (controller.empty()) return;
	if (!among(controller, CONTROLLERS))
		faults.push_back(section.fault("controller",
			fmt::format("unknown controller '{}' in {}", controller, section.heading),
			suggestion(controller, CONTROLLERS)));
	for (std::string_view const key : {"swtpm", "swtpm_control"})
		if (controller == "spidev" && section.find(key))
			faults.push_back(section.fault(
				key, fmt::format("'{}' is for the controller \"sim\" only", key), "remove it"));
	if (controller == "sim" && section.find("device"))
		faults.push_back(
			section.fault("device", "'device' is for the controller \"spidev\" only", "remove it"));
	_wires.check(section, faults);
}

void Hardware::_check_device(Section const &section)
{
	std::vector<Fault> &faults = _manifest.faults;
	section.check_keys(DEVICE_KEYS, {}, faults);
	for (std::string_view const key : {"driver", "bus"}) {
		auto const text = section.text(key);
		if (!text.ok()) faults.push_back(section.located(text.error()));
	}
	auto const settings = Device_settings::read(section);
	if (!settings.ok()) faults.push_back(section.located(settings.error()));
	std::string_view const driver = section.text_of("driver");
	if (!driver.empty() && !among(driver, DRIVERS))
		faults.push_back(section.fault("driver",
			fmt::format("unknown driver '{}' in {}", driver, section.heading),
			suggestion(driver, DRIVERS)));
	std::string_view const open = section.text_of("open");
	if (!open.empty() && !among(open, SHARINGS))
		faults.push_back(section.fault(
			"open", fmt::format("'open' can't be '{}'", open), suggestion(open, SHARINGS)));
	std::string_view const bus = section.text_of("bus");
	if (bus.empty() || Manifest::find(_manifest.buses, bus)) return;
	std::vector<vfs::Key> const buses = names_of(_manifest.buses);
	faults.push_back(section.fault("bus", fmt::format("there is no [bus.{}]", bus),
		buses.empty() ? "describe one" : suggestion(bus, buses)));
}

/* A chip has one driver: two would give it commands in turns and take each other's responses. */
void Hardware::_check_chips()
{
	for (auto second = _manifest.devices.begin(); second != _manifest.devices.end(); ++second)
		for (auto first = _manifest.devices.begin(); first != second; ++first) {
			auto const a = Device_settings::read(*first);
			auto const b = Device_settings::read(*second);
			if (!a.ok() || !b.ok() || first->text_of("bus") != second->text_of("bus") ||
				a.value().chip.select != b.value().chip.select)
				continue;
			_manifest.faults.push_back(second->fault("bus",
				fmt::format("{} has chip select {} of this bus already", first->heading,
					a.value().chip.select),
				"one device per chip; let its users share it with open = \"shared\""));
		}
}

void Hardware::check()
{
	for (Section const &section : _manifest.buses) _check_bus(section);
	for (Section const &section : _manifest.devices) _check_device(section);
	_check_chips();
}

void Hardware::describe()
{
	for (Section const &section : _manifest.devices)
		_devices.emplace_back(section.name, std::make_unique<Described_device>(section));
}

std::optional<Trouble> Hardware::_open_bus(Section const &section)
{
	std::unique_ptr<Bus_host> bus;
	if (section.text_of("controller") == "sim")
		bus = std::make_unique<Simulated_bus>(section);
	else
		bus = std::make_unique<Spidev_bus>(section, _wires);
	if (auto trouble = bus->open(_wires, _loop)) return trouble;
	_buses.emplace_back(section.name, std::move(bus));
	return {};
}

std::optional<Trouble> Hardware::_start_device(Section const &section)
{
	auto const settings = Device_settings::read(section);
	auto const bus = std::ranges::find(
		_buses, section.text_of("bus"), [](auto const &b) { return std::string_view(b.first); });
	if (!settings.ok() || bus == _buses.end()) return Trouble{section.heading + " has no bus"};
	auto device = std::make_unique<Tpm_host>(
		section, *bus->second, settings.value(), _loop.executor(), _commands);
	if (auto trouble = device->start(_loop)) return trouble;
	_devices.emplace_back(section.name, std::move(device));
	return {};
}

std::optional<Trouble> Hardware::start()
{
	for (Section const &section : _manifest.buses)
		if (auto trouble = _open_bus(section)) return trouble;
	for (Section const &section : _manifest.devices)
		if (auto trouble = _start_device(section)) return trouble;
	return {};
}

Char_device *Hardware::find(std::string_view name)
{
	for (auto const &[known, device] : _devices)
		if (known == name) return &device->device();
	return nullptr;
}

} // namespace bulkhead::host_system
