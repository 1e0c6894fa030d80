#include "base/attempt.h"
#include "base/test/support.h"

#include <array>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <type_traits>

namespace bulkhead {
namespace {

using test::Probe;

enum class Chip_error : uint8_t { STUCK = 1, SILENT };

constexpr Error convert_error(Chip_error error, Into<Error>)
{
	return error == Chip_error::SILENT ? Error::TIMEOUT : Error::IO;
}

struct Immobile
{
	int value = 7;

	Immobile() = default;
	Immobile(Immobile const &) = delete;
};

struct Without_default
{
	int value;

	explicit Without_default(int v) : value(v) {}
};

struct With_constant
{
	int const value;
};

struct alignas(64) Wide
{
	int value;
};

// What the type promises before anything runs.
static_assert(std::is_trivially_copyable_v<Attempt<int>>);
static_assert(std::is_trivially_destructible_v<Attempt<int>>);
static_assert(std::is_trivially_copyable_v<Attempt<void>>);
static_assert(std::is_trivially_copyable_v<Attempt<Immobile &>>);
static_assert(!std::is_copy_constructible_v<Attempt<std::unique_ptr<int>>>);
static_assert(!std::is_copy_assignable_v<Attempt<std::unique_ptr<int>>>);
static_assert(std::is_move_constructible_v<Attempt<std::unique_ptr<int>>>);
static_assert(std::is_move_assignable_v<Attempt<std::unique_ptr<int>>>);
static_assert(std::is_copy_assignable_v<Attempt<std::string>>);
static_assert(!std::is_default_constructible_v<Attempt<int>>);
static_assert(std::is_constructible_v<Attempt<Immobile &>, Immobile &>);
static_assert(!std::is_constructible_v<Attempt<Immobile const &>, Immobile &&>);
static_assert(!std::is_constructible_v<Attempt<int>, Chip_error>, "only by a Failure");
static_assert(!std::is_constructible_v<Attempt<int, Chip_error>, Failure<Error>>);
static_assert(alignof(Attempt<Wide>) == 64);

constexpr Attempt<int> half(int n)
{
	if (n % 2) return Error::INVALID;
	return n / 2;
}

constexpr Attempt<int> quarter(int n) { return TRY(half(TRY(half(n)))); }

static_assert(half(8).value() == 4);
static_assert(half(7).error() == Error::INVALID);
static_assert(half(7).value_or(3) == 3);

TEST(Attempt, holds_a_value_or_an_error)
{
	EXPECT_TRUE(half(4).ok());
	EXPECT_EQ(half(4).value(), 2);
	EXPECT_FALSE(half(5).ok());
	EXPECT_EQ(half(5).error(), Error::INVALID);
	EXPECT_EQ(half(6).value_or(9), 3);
}

TEST(Attempt, hands_either_outcome_to_a_function)
{
	auto const text = [](Attempt<int> attempt) {
		return std::move(attempt).with([](int n) { return std::to_string(n); },
			[](Error e) { return std::string(name_of(e)); });
	};
	EXPECT_EQ(text(3), "3");
	EXPECT_EQ(text(Error::BUSY), "busy");
}

TEST(Attempt, stops_a_program_that_takes_what_is_not_there)
{
	EXPECT_DEATH(static_cast<void>(half(5).value()), "");
	EXPECT_DEATH(static_cast<void>(half(4).error()), "");
	EXPECT_DEATH(Attempt<void>(Error::IO).value(), "");
	EXPECT_DEATH(static_cast<void>(Attempt<Immobile &>(Error::IO).value()), "");
}

TEST(Attempt, moves_a_value_that_can_not_be_copied)
{
	Attempt<std::unique_ptr<int>> a = std::make_unique<int>(5);
	Attempt<std::unique_ptr<int>> b = std::move(a);
	EXPECT_EQ(*b.value(), 5);
	a = Error::GONE;
	EXPECT_EQ(a.error(), Error::GONE);
	a = std::move(b);
	std::unique_ptr<int> const taken = std::move(a).value();
	EXPECT_EQ(*taken, 5);
}

TEST(Attempt, copies_and_assigns_every_combination)
{
	Probe::alive = 0;
	{
		Attempt<Probe> const value{Probe(1)};
		Attempt<Probe> const failed{Error::IO};
		Attempt<Probe> a = value;
		a = value;
		EXPECT_EQ(a.value().value, 1);
		a = failed;
		EXPECT_EQ(a.error(), Error::IO);
		a = failed;
		EXPECT_EQ(Probe::alive, 1);
		a = value;
		EXPECT_EQ(a.value().value, 1);
		Attempt<Probe> b = failed;
		b = std::move(a);
		EXPECT_EQ(b.value().value, 1);
		b = Attempt<Probe>(Error::BUSY);
		EXPECT_EQ(b.error(), Error::BUSY);
	}
	EXPECT_EQ(Probe::alive, 0);
}

TEST(Attempt, survives_assignment_to_itself)
{
	Attempt<std::string> a = std::string("a text that is too long to lie in place");
	auto &same = a;
	a = same;
	EXPECT_EQ(a.value(), "a text that is too long to lie in place");
	a = std::move(same);
	EXPECT_EQ(a.value(), "a text that is too long to lie in place");
	Attempt<int> n = 3;
	auto &same_number = n;
	n = std::move(same_number);
	EXPECT_EQ(n.value(), 3);
}

TEST(Attempt, takes_types_that_are_hard_to_please)
{
	Attempt<Without_default> a = Without_default(3);
	a = Attempt<Without_default>(Error::IO);
	EXPECT_FALSE(a.ok());

	Attempt<With_constant> b = With_constant{4};
	b = Attempt<With_constant>(With_constant{5});
	EXPECT_EQ(b.value().value, 5);

	std::array<Attempt<Wide>, 3> const wide{Wide{1}, Error::IO, Wide{3}};
	for (auto const &attempt : wide) EXPECT_EQ(reinterpret_cast<uintptr_t>(&attempt) % 64, 0U);
	EXPECT_EQ(reinterpret_cast<uintptr_t>(&wide[2].value()) % 64, 0U);

	Attempt<bool> const no = false;
	EXPECT_TRUE(no.ok());
	EXPECT_FALSE(no.value());
}

TEST(Attempt, refers_to_the_object_itself)
{
	Immobile object;
	Attempt<Immobile &> a = object;
	EXPECT_EQ(&a.value(), &object);
	a = Error::NOT_FOUND;
	EXPECT_EQ(a.error(), Error::NOT_FOUND);
	Attempt<Immobile const &> const b = object;
	EXPECT_EQ(&b.value(), &object);
}

TEST(Attempt, may_have_no_value)
{
	Attempt<void> a = Ok{};
	EXPECT_TRUE(a.ok());
	a.value();
	a = Error::IO;
	EXPECT_EQ(a.error(), Error::IO);
}

TEST(Try, returns_the_error_or_yields_the_value)
{
	static_assert(quarter(8).value() == 2);
	EXPECT_EQ(quarter(12).value(), 3);
	EXPECT_EQ(quarter(6).error(), Error::INVALID);
	EXPECT_EQ(quarter(5).error(), Error::INVALID);
}

TEST(Try, does_not_copy_what_is_referred_to)
{
	Immobile object;
	auto const find = [&](bool there) -> Attempt<Immobile &> {
		if (!there) return Error::NOT_FOUND;
		return object;
	};
	auto const change = [&](bool there) -> Attempt<void> {
		Immobile &found = TRY(find(there));
		EXPECT_EQ(&found, &object);
		TRY(find(there)).value = 9;
		return Ok{};
	};
	EXPECT_TRUE(change(true).ok());
	EXPECT_EQ(object.value, 9);
	EXPECT_EQ(change(false).error(), Error::NOT_FOUND);
}

TEST(Try, moves_a_value_that_can_not_be_copied)
{
	auto const make = [](int n) -> Attempt<std::unique_ptr<int>> {
		if (n < 0) return Error::RANGE;
		return std::make_unique<int>(n);
	};
	auto const twice = [&](int n) -> Attempt<std::unique_ptr<int>> {
		std::unique_ptr<int> made = TRY(make(n));
		*made *= 2;
		return made;
	};
	EXPECT_EQ(*twice(4).value(), 8);
	EXPECT_EQ(twice(-1).error(), Error::RANGE);
}

TEST(Try, converts_the_error_of_another_module)
{
	auto const chip = [](Chip_error error) -> Attempt<void, Chip_error> { return error; };
	auto const file = [&](Chip_error error) -> Attempt<int> {
		TRY(chip(error));
		return 1;
	};
	EXPECT_EQ(file(Chip_error::SILENT).error(), Error::TIMEOUT);
	EXPECT_EQ(file(Chip_error::STUCK).error(), Error::IO);
	EXPECT_EQ(outer_error(Chip_error::SILENT), Error::TIMEOUT);
	EXPECT_EQ(outer_error(Error::BUSY), Error::BUSY);
}

Attempt<int> fails() { return Error::IO; }

struct Pair
{
	Probe first;
	int second;

	Pair(Probe a, int b) : first(std::move(a)), second(b) {}
};

int sum(Probe const &probe, int n) { return probe.value + n; }

TEST(Try, leaves_no_temporary_behind_when_it_returns)
{
	Probe::alive = 0;
	auto const argument = []() -> Attempt<int> { return sum(Probe(1), TRY(fails())); };
	auto const construction = []() -> Attempt<int> {
		Pair const pair{Probe(1), TRY(fails())};
		return pair.second;
	};
	EXPECT_EQ(argument().error(), Error::IO);
	EXPECT_EQ(Probe::alive, 0);
	EXPECT_EQ(construction().error(), Error::IO);
	EXPECT_EQ(Probe::alive, 0);
}

TEST(Error, has_a_name_and_an_errno_of_its_own)
{
	for (int i = 1; i <= static_cast<int>(Error::RANGE); ++i) {
		auto const error = static_cast<Error>(i);
		EXPECT_NE(name_of(error), "unknown error") << i;
		EXPECT_GT(errno_of(error), 0) << i;
	}
	EXPECT_EQ(errno_of(Error::NOT_FOUND), ENOENT);
	EXPECT_EQ(errno_of(Error::WOULD_BLOCK), EAGAIN);
	EXPECT_EQ(errno_of(Error::CANCELLED), EINTR);
	EXPECT_EQ(errno_of(Error::TIMEOUT), ETIMEDOUT);
	EXPECT_EQ(errno_of(Error::TOO_LONG), EMSGSIZE);
	EXPECT_EQ(errno_of(Error::RANGE), EOVERFLOW);
	EXPECT_EQ(errno_of(Error::NOT_SUPPORTED), EOPNOTSUPP);
	EXPECT_EQ(errno_of(Error::NOT_EMPTY), ENOTEMPTY);
	EXPECT_EQ(errno_of(Error::TOO_MANY_LINKS), ELOOP);
	EXPECT_EQ(errno_of(static_cast<Error>(0)), EIO);
}

TEST(Clock, a_deadline_that_can_not_be_represented_never_comes)
{
	EXPECT_EQ(deadline_after_us(5, 10), 15U);
	EXPECT_EQ(deadline_after_us(5, NEVER_US), NEVER_US);
	EXPECT_EQ(deadline_after_us(NEVER_US - 1, 1), NEVER_US);
	EXPECT_EQ(deadline_after_us(NEVER_US, 0), NEVER_US);
}

} // namespace
} // namespace bulkhead
