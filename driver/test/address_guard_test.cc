#include "base/sync_wait.h"
#include "driver/address_guard.h"
#include "platform/linux/heap.h"

#include <gtest/gtest.h>

namespace bulkhead {
namespace {

struct Still_clock final : Clock
{
	uint64_t now_us() const override { return 0; }
};

struct Fake_device final : Char_device, Char_session
{
	uint64_t address = 0x20, clock_hz = 0;
	unsigned opens = 0, closes = 0;
	bool busy = false;

	std::string_view kind() const override { return "i2c"; }
	Task<Char_session *> open(Job &, Opener const &) override
	{
		if (busy) return Error::BUSY;
		++opens;
		return static_cast<Char_session *>(this);
	}
	void describe(Info_sink &) const override {}

	Task<size_t> read(Job &, Mutable_bytes to, Io) override { return to.size(); }
	Task<size_t> write(Job &, Bytes from, Io) override { return from.size(); }
	Task<size_t> transact(Job &, Bytes, Mutable_bytes in) override { return in.size(); }
	Attempt<uint64_t> setting(Setting) const override { return address; }
	Task<void> set(Job &, Setting which, uint64_t value) override
	{
		(which == Setting::ADDRESS ? address : clock_hz) = value;
		return Ok{};
	}
	Readiness readiness() const override { return {.readable = true}; }
	void watch(Watcher &) override {}
	Task<void> close(Job &) override
	{
		++closes;
		return Ok{};
	}
};

struct Policy final : Address_policy
{
	static constexpr uint64_t EEPROM[] = {0x50, 0x51};
	Address_rule const one{.any = false, .addresses = EEPROM};
	Address_rule const all{};

	Address_rule const *addresses_of(Credentials const &who) const override
	{
		return who.label == "web" ? &one : who.label == "work" ? &all : nullptr;
	}
};

struct Address_guard_test : testing::Test
{
	Still_clock clock{};
	Executor executor{clock};
	Job_with_arena<4096> job{executor};
	linux_host::Heap heap{};
	Fake_device device{};
	Policy policy{};
	Address_guard guard{device, heap, policy};

	template <typename T>
	Attempt<T> run(Task<T> task)
	{
		return sync_wait(job, std::move(task), [](uint64_t) { abort(); });
	}
	Char_session &open(std::string_view label)
	{
		Attempt<Char_session *> const session = run(guard.open(job, {.who = {.label = label}}));
		EXPECT_TRUE(session.ok());
		return *session.value();
	}
	Attempt<void> set(Char_session &session, uint64_t address)
	{
		return run(session.set(job, Setting::ADDRESS, address));
	}
};

TEST_F(Address_guard_test, lets_an_opener_choose_the_addresses_of_its_rule)
{
	Char_session &web = open("web");
	EXPECT_TRUE(set(web, 0x51).ok());
	EXPECT_EQ(device.address, 0x51u);
	EXPECT_EQ(set(web, 0x20).error(), Error::DENIED);
	EXPECT_EQ(device.address, 0x51u);
	EXPECT_TRUE(run(web.set(job, Setting::CLOCK_HZ, 400'000)).ok());
	EXPECT_EQ(device.clock_hz, 400'000u);
	EXPECT_TRUE(run(web.close(job)).ok());
	Char_session &work = open("work");
	EXPECT_TRUE(set(work, 0x20).ok());
	EXPECT_TRUE(run(work.close(job)).ok());
	EXPECT_EQ(device.closes, 2u);
}

TEST_F(Address_guard_test, lets_who_has_no_rule_choose_none)
{
	Char_session &nobody = open("");
	EXPECT_EQ(set(nobody, 0x50).error(), Error::DENIED);
	EXPECT_TRUE(run(nobody.close(job)).ok());
}

TEST_F(Address_guard_test, passes_on_all_else)
{
	Char_session &web = open("web");
	uint8_t bytes[7]{};
	EXPECT_EQ(run(web.read(job, bytes, {})).value(), 7u);
	EXPECT_EQ(run(web.write(job, bytes, {})).value(), 7u);
	EXPECT_EQ(run(web.transact(job, bytes, bytes)).value(), 7u);
	EXPECT_EQ(web.setting(Setting::ADDRESS).value(), 0x20u);
	EXPECT_TRUE(web.readiness().readable);
	EXPECT_FALSE(run(web.act(job, Action::RESET)).ok());
	EXPECT_TRUE(run(web.close(job)).ok());
	device.busy = true;
	EXPECT_EQ(run(guard.open(job, {})).error(), Error::BUSY);
	EXPECT_EQ(device.opens, device.closes);
}

} // namespace
} // namespace bulkhead
