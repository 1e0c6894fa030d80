#include "base/event.h"
#include "vfs/plugin/char_device/char_device.h"
#include "vfs/plugin/char_device/control.h"
#include "vfs/plugin/char_device/devices.h"
#include "vfs/plugin/test/plugin_world.h"

#include <gmock/gmock.h>
#include <memory>

namespace bulkhead::vfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Fake_device;

/* Reads wait until the test lets the device have something. */
class Fake_session final : public Char_session
{
public:
	Fake_device &device;
	Opener const opener;
	std::string data{};
	Event arrived{};
	Watchers watchers{};
	std::array<uint64_t, SETTINGS> settings{};

	Fake_session(Fake_device &d, Opener const &o) : device(d), opener(o) {}

	void arrive(std::string_view text)
	{
		data += text;
		arrived.raise_all();
		watchers.notify();
	}

	Task<size_t> wait_and_read(Job &job, Mutable_bytes to)
	{
		while (data.empty()) CO_TRY(co_await arrived.wait(job));
		co_return take(to);
	}

	size_t take(Mutable_bytes to)
	{
		size_t const n = copy_bytes(to, bytes_of(data));
		data.erase(0, n);
		return n;
	}

	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
	{
		if (!data.empty()) return take(to);
		if (io.nonblocking) return Error::WOULD_BLOCK;
		return wait_and_read(job, to);
	}
	Task<size_t> write(Job &, Bytes from, Io) override
	{
		arrive(text_of(from));
		return from.size();
	}
	Task<size_t> transact(Job &, Bytes, Mutable_bytes) override { return Error::NOT_SUPPORTED; }

	Attempt<uint64_t> setting(Setting setting) const override
	{
		if (setting == Setting::MODE) return Error::NOT_SUPPORTED;
		return settings[static_cast<size_t>(setting)];
	}
	Task<void> set(Job &, Setting setting, uint64_t value) override
	{
		if (value > 100) return Error::INVALID;
		settings[static_cast<size_t>(setting)] = value;
		return Ok{};
	}
	Task<void> act(Job &, Action) override
	{
		data.clear();
		return Ok{};
	}
	Readiness readiness() const override { return {.readable = !data.empty(), .writable = true}; }
	void watch(Watcher &watcher) override { watchers.add(watcher); }
	Task<void> close(Job &job) override;
};

class Fake_device final : public Char_device
{
public:
	std::vector<std::unique_ptr<Fake_session>> sessions{};
	size_t sessions_max = 4;
	unsigned closed = 0;
	bool slow_close = false;
	bool queued = false;
	Event closing{};
	Event freed{};

	Fake_session &last() { return *sessions.back(); }

	std::string_view kind() const override { return "fake"; }

	Task<Char_session *> queue(Job &job, Opener opener)
	{
		while (sessions.size() >= sessions_max) CO_TRY(co_await freed.wait(job));
		sessions.push_back(std::make_unique<Fake_session>(*this, opener));
		co_return static_cast<Char_session *>(sessions.back().get());
	}

	Task<Char_session *> open(Job &job, Opener const &opener) override
	{
		if (sessions.size() >= sessions_max && (opener.nonblocking || !queued)) return Error::BUSY;
		return queue(job, opener);
	}
	void describe(Info_sink &sink) const override
	{
		sink.info("vendor", "ACME\ninjected: yes");
		sink.counter("sessions", sessions.size());
		sink.counter("most", UINT64_MAX);
	}
	std::span<Setting const> settings() const override
	{
		static constexpr Setting ALL[] = {Setting::CLOCK_HZ, Setting::LOCALITY};
		return ALL;
	}

	Task<void> end(Job &job, Fake_session &session)
	{
		if (slow_close) static_cast<void>(co_await closing.wait(job));
		std::erase_if(sessions, [&](auto const &s) { return s.get() == &session; });
		++closed;
		freed.raise();
		co_return Ok{};
	}
};

Task<void> Fake_session::close(Job &job) { return device.end(job, *this); }

struct Fake_devices final : Devices
{
	Fake_device &device;

	explicit Fake_devices(Fake_device &d) : device(d) {}
	Char_device *find(std::string_view name) override
	{
		return name == "fake0" ? &device : nullptr;
	}
	std::string_view name(size_t index) const override
	{
		return index == 0 ? "fake0" : index == 1 ? "fake1" : "";
	}
};

class Char_device_node : public testing::Test, protected Plugin_world
{
protected:
	Fake_device device{};
	Fake_devices devices{device};
	uint8_t buffer[16]{};

	void SetUp() override
	{
		context.devices = &devices;
		attach("/dev/fake0", "char_device", {{"device", "fake0"}});
		attach("/dev/null", "null");
	}

	void TearDown() override
	{
		executor.run_ready();
		EXPECT_TRUE(device.sessions.empty());
	}

	void close(Ref<File> const &file) { must(wait(file->close(job))); }

	std::string text_of_file(std::string_view path)
	{
		auto const f = open(path, {});
		if (!f.ok()) return outcome(f);
		auto const text = read(*f.value(), 0, 1000);
		return text.ok() ? text.value() : outcome(text);
	}
	std::string write_file(std::string_view path, std::string_view text)
	{
		Ref<File> const f = open(path, {.write = true, .truncate = true}).value();
		return outcome(write(*f, 0, text));
	}
};

TEST_F(Char_device_node, each_opener_has_a_session)
{
	Ref<File> const a = open("/dev/fake0").value();
	Ref<File> const b = open("/dev/fake0").value();
	EXPECT_EQ(write(*a, 12345, "hello").value(), 5U);
	EXPECT_EQ(outcome(wait(b->read(job, buffer, {.nonblocking = true}))), "would block");
	EXPECT_EQ(read(*a, 99, 3).value(), "hel");
	EXPECT_EQ(read(*a, 0, 9).value(), "lo");
	close(a);
	close(b);
	EXPECT_EQ(device.closed, 2U);
}

TEST_F(Char_device_node, the_opener_is_told_to_the_device)
{
	who.uid = 0;
	who.gid = 5;
	who.label = "work";
	Ref<File> const a = open("/dev/fake0", {.read = true, .nonblocking = true}).value();
	EXPECT_EQ(device.last().opener.who.gid, 5U);
	EXPECT_EQ(device.last().opener.who.label, "work");
	EXPECT_TRUE(device.last().opener.read);
	EXPECT_FALSE(device.last().opener.write);
	EXPECT_TRUE(device.last().opener.nonblocking);
	close(a);
}

TEST_F(Char_device_node, a_waiting_read_stalls_nobody)
{
	Ref<File> const slow = open("/dev/fake0").value();
	Pending<size_t> pending(executor, [&](Job &j) { return slow->read(j, buffer, {}); });
	EXPECT_FALSE(pending.done());
	Ref<File> const null = open("/dev/null").value();
	EXPECT_EQ(write(*null, 0, "x").value(), 1U);
	Ref<File> const other = open("/dev/fake0").value();
	EXPECT_EQ(write(*other, 0, "x").value(), 1U);
	EXPECT_THAT(text_of_file("/dev/.fake0/info"), HasSubstr("kind: fake\n"));
	EXPECT_FALSE(pending.done());
	device.sessions.front()->arrive("data");
	executor.run_ready();
	ASSERT_TRUE(pending.done());
	EXPECT_EQ(pending.result.value(), 4U);
	close(other);
	close(slow);
}

TEST_F(Char_device_node, a_waiting_read_can_be_cancelled)
{
	Ref<File> const f = open("/dev/fake0").value();
	Pending<size_t> pending(executor, [&](Job &j) { return f->read(j, buffer, {}); });
	pending.cancel();
	ASSERT_TRUE(pending.done());
	EXPECT_EQ(outcome(pending.result), "cancelled");
	EXPECT_EQ(write(*f, 0, "x").value(), 1U);
	EXPECT_EQ(read(*f, 0, 1).value(), "x");
	close(f);
}

TEST_F(Char_device_node, closing_may_take_time_and_stalls_nobody)
{
	device.slow_close = true;
	Ref<File> const f = open("/dev/fake0").value();
	Pending<void> pending(executor, [&](Job &j) { return f->close(j); });
	EXPECT_FALSE(pending.done());
	EXPECT_EQ(outcome(read(*f, 0, 1)), "device is gone");
	EXPECT_EQ(outcome(write(*f, 0, "x")), "device is gone");
	EXPECT_TRUE(f->readiness().hung_up);
	EXPECT_EQ(outcome(wait(f->close(job))), "ok");
	Ref<File> const other = open("/dev/fake0").value();
	device.slow_close = false;
	close(other);
	device.closing.raise_all();
	executor.run_ready();
	EXPECT_TRUE(pending.done());
}

TEST_F(Char_device_node, the_session_of_who_goes_without_closing_ends)
{
	device.slow_close = true;
	Ref<File> f = open("/dev/fake0").value();
	f.reset();
	executor.run_ready();
	EXPECT_EQ(device.sessions.size(), 1U);
	device.closing.raise_all();
	executor.run_ready();
	EXPECT_EQ(device.closed, 1U);
}

TEST_F(Char_device_node, an_exclusive_device_is_busy)
{
	device.sessions_max = 1;
	Ref<File> const f = open("/dev/fake0").value();
	EXPECT_EQ(outcome(open("/dev/fake0")), "busy");
	close(f);
	Ref<File> const again = open("/dev/fake0").value();
	close(again);
}

TEST_F(Char_device_node, a_queued_open_waits_unless_it_must_not)
{
	device.sessions_max = 1;
	device.queued = true;
	Ref<File> const f = open("/dev/fake0").value();
	EXPECT_EQ(outcome(open("/dev/fake0", {.write = true, .nonblocking = true})), "busy");
	Access const access{.write = true};
	Pending<Ref<File>> second(
		executor, [&](Job &j) { return tree.open(j, who, "/dev/fake0", access); });
	Pending<Ref<File>> third(
		executor, [&](Job &j) { return tree.open(j, who, "/dev/fake0", access); });
	EXPECT_FALSE(second.done());
	third.cancel();
	EXPECT_EQ(outcome(third.result), "cancelled");
	close(f);
	executor.run_ready();
	ASSERT_TRUE(second.done());
	close(second.result.value());
}

struct Bell final : Watcher
{
	int rings = 0;
	void changed() override { ++rings; }
};

TEST_F(Char_device_node, readiness_is_passed_on)
{
	Ref<File> const f = open("/dev/fake0").value();
	Bell bell;
	must(f->watch(bell));
	EXPECT_FALSE(f->readiness().readable);
	device.last().arrive("x");
	EXPECT_TRUE(f->readiness().readable);
	EXPECT_EQ(bell.rings, 1);
	bell.unlink();
	close(f);
	EXPECT_EQ(outcome(f->watch(bell)), "device is gone");
}

TEST_F(Char_device_node, control_reaches_settings_and_actions)
{
	Ref<File> const f = open("/dev/fake0").value();
	uint64_t value = 7;
	Bytes const in(reinterpret_cast<uint8_t const *>(&value), sizeof(value));
	Mutable_bytes const out(reinterpret_cast<uint8_t *>(&value), sizeof(value));
	auto const control = [&](uint32_t command, Bytes i = {}, Mutable_bytes o = {}) {
		return outcome(wait(f->control(job, {command, i, o})));
	};
	EXPECT_EQ(control(control_to_write(Setting::LOCALITY), in), "ok");
	value = 0;
	EXPECT_EQ(control(control_to_read(Setting::LOCALITY), {}, out), "ok");
	EXPECT_EQ(value, 7U);
	EXPECT_EQ(control(control_to_read(Setting::MODE), {}, out), "not supported");
	EXPECT_EQ(control(control_to_read(Setting::LOCALITY), {}, out.first(7)), "invalid argument");
	EXPECT_EQ(control(control_to_write(Setting::LOCALITY), in.first(7)), "invalid argument");
	value = 101;
	EXPECT_EQ(control(control_to_write(Setting::LOCALITY), in), "invalid argument");
	device.last().arrive("x");
	EXPECT_EQ(control(control_to_act(Action::CANCEL)), "ok");
	EXPECT_EQ(device.last().data, "");
	for (uint32_t const command : {0U, ~0U, CONTROL_READ + SETTINGS, CONTROL_WRITE + SETTINGS,
			 CONTROL_ACTION + ACTIONS, CONTROL_ACTION - 1})
		EXPECT_EQ(control(command, in, out), "not supported") << command;
	close(f);
}

TEST_F(Char_device_node, information_lies_beside_the_device)
{
	EXPECT_THAT(list("/dev"), ElementsAre("fake0", ".fake0", "null"));
	EXPECT_THAT(list("/dev/.fake0"), ElementsAre("info", "counters", "settings"));
	EXPECT_EQ(
		text_of_file("/dev/.fake0/info"), "name: fake0\nkind: fake\nvendor: ACME injected: yes\n");
	EXPECT_EQ(text_of_file("/dev/.fake0/counters"), "sessions: 0\nmost: 18446744073709551615\n");
	EXPECT_EQ(stat("/dev/.fake0/counters").value().size, 39U);
	EXPECT_EQ(outcome(open("/dev/.fake0/info")), "read-only");
	EXPECT_THAT(list("/dev/.fake0/settings"), ElementsAre("clock_hz", "locality"));
}

TEST_F(Char_device_node, an_open_information_file_is_a_snapshot)
{
	Ref<File> const counters = open("/dev/.fake0/counters", {}).value();
	Ref<File> const f = open("/dev/fake0").value();
	EXPECT_EQ(read(*counters, 0, 11).value(), "sessions: 0");
	close(f);
}

TEST_F(Char_device_node, settings_are_what_sessions_begin_with)
{
	EXPECT_EQ(text_of_file("/dev/.fake0/settings/locality"), "0\n");
	EXPECT_EQ(write_file("/dev/.fake0/settings/locality", "3\n"), "ok");
	EXPECT_EQ(text_of_file("/dev/.fake0/settings/locality"), "3\n");
	Ref<File> const f = open("/dev/fake0").value();
	EXPECT_EQ(must(device.last().setting(Setting::LOCALITY)), 3U);
	close(f);
	for (auto const *text : {"", "\n", "x", "-1", "1 ", "1\n\n", "18446744073709551616", "101"})
		EXPECT_EQ(write_file("/dev/.fake0/settings/locality", text), "invalid argument") << text;
	EXPECT_EQ(text_of_file("/dev/.fake0/settings/locality"), "3\n");
}

TEST_F(Char_device_node, settings_of_an_exclusive_device_in_use_are_busy)
{
	device.sessions_max = 1;
	Ref<File> const f = open("/dev/fake0").value();
	EXPECT_EQ(write_file("/dev/.fake0/settings/locality", "3"), "busy");
	EXPECT_EQ(text_of_file("/dev/.fake0/settings/locality"), "busy");
	close(f);
}

TEST_F(Char_device_node, truncating_and_touching_do_no_harm)
{
	Ref<File> const f = open("/dev/fake0", {.write = true, .truncate = true}).value();
	EXPECT_EQ(outcome(wait(tree.change(job, who, "/dev/fake0", {.size = 0}))), "ok");
	EXPECT_EQ(outcome(wait(tree.change(job, who, "/dev/fake0", {.mode = 0}))), "read-only");
	close(f);
}

TEST_F(Char_device_node, lack_of_memory_loses_no_session)
{
	heap.limit = heap.used + 6000;
	EXPECT_EQ(outcome(open("/dev/fake0")), "out of memory");
	heap.limit = SIZE_MAX;
	executor.run_ready();
	EXPECT_TRUE(device.sessions.empty());
}

TEST_F(Char_device_node, an_unknown_device_is_a_fault)
{
	EXPECT_EQ(fault("char_device", {{"device", "tpm0"}}),
		"device: names no device of the manifest; there are: fake0, fake1");
	context.devices = nullptr;
	EXPECT_EQ(fault("char_device", {{"device", "tpm0"}}),
		"device: names no device of the manifest; add the device to the manifest");
}

TEST_F(Char_device_node, information_may_be_left_out)
{
	attach("/x", "char_device", {{"device", "fake0"}, {"information", false}});
	EXPECT_EQ(outcome(stat("/.x")), "not found");
}

} // namespace
} // namespace bulkhead::vfs
