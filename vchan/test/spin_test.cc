#include "vchan/spin.h"
#include "vchan/test/support.h"

#include <gtest/gtest.h>

namespace bulkhead::vchan {
namespace {

/* Blocks so many times, then succeeds. */
struct Looks
{
	unsigned blocked;
	unsigned count = 0;

	Attempt<size_t, Error> operator()()
	{
		if (count++ < blocked) return Error::WOULD_BLOCK;
		return size_t{7};
	}
};

constexpr unsigned NEVER = ~0U;

/* How often one looks whose peer doesn't answer. */
unsigned looks_in_vain(Spin &spin, unsigned most = Spin::MOST)
{
	Looks looks{NEVER};
	EXPECT_EQ(spin.look_again(most, std::ref(looks)).error(), Error::WOULD_BLOCK);
	return looks.count;
}

/* Until the next wait that is long again: how many were short. */
unsigned short_waits(Spin &spin)
{
	for (unsigned waits = 0; waits < 100'000; ++waits)
		if (looks_in_vain(spin) == Spin::TRIAL) return waits;
	return NEVER;
}

TEST(Vchan_spin, ends_with_what_it_finds)
{
	Spin spin;
	Looks looks{Spin::FIRST - 1};
	EXPECT_EQ(spin.look_again(1000, std::ref(looks)).value(), 7);
	EXPECT_EQ(looks.count, Spin::FIRST);
	auto const lied = [] { return Attempt<size_t, Error>{Error::PEER_STALE}; };
	EXPECT_EQ(spin.look_again(1000, lied).error(), Error::PEER_STALE);
}

TEST(Vchan_spin, looks_no_more_often_than_it_may)
{
	Spin spin;
	EXPECT_EQ(looks_in_vain(spin, 0), 0);
	EXPECT_EQ(looks_in_vain(spin, 5), 5);
	EXPECT_LE(looks_in_vain(spin, NEVER), Spin::MOST);
}

TEST(Vchan_spin, gives_up_sooner_the_more_often_it_was_in_vain_and_later_when_it_was_not)
{
	Spin spin;
	unsigned last = looks_in_vain(spin);
	EXPECT_EQ(last, Spin::FIRST) << "not long, as nobody knows yet";
	for (int i = 0; i < 20; ++i) EXPECT_TRUE(spin.look_again(1, Looks{0}).ok());
	last = looks_in_vain(spin);
	EXPECT_EQ(last, Spin::MOST);
	while (last > 0) {
		unsigned const next = looks_in_vain(spin);
		ASSERT_LT(next, last);
		last = next;
	}
}

TEST(Vchan_spin, tries_again_ever_more_seldom_whether_it_has_become_worth_it)
{
	Spin spin;
	while (looks_in_vain(spin) > 0) {}
	unsigned const first = short_waits(spin);
	unsigned const second = short_waits(spin);
	EXPECT_GT(second, first);
	unsigned last = second;
	for (int i = 0; i < 20; ++i) last = short_waits(spin);
	EXPECT_EQ(short_waits(spin), last) << "bounded";
	EXPECT_LT(last, NEVER);
}

TEST(Vchan_spin, goes_on_looking_for_long_once_a_try_has_found_something)
{
	Spin spin;
	while (looks_in_vain(spin) > 0) {}
	Looks late{Spin::TRIAL / 2};
	for (int i = 0; i < 1000 && late.count <= Spin::TRIAL / 2; ++i) {
		late.count = 0;
		static_cast<void>(spin.look_again(Spin::MOST, std::ref(late)));
	}
	late.count = 0;
	EXPECT_TRUE(spin.look_again(Spin::MOST, std::ref(late)).ok());
}

} // namespace
} // namespace bulkhead::vchan
