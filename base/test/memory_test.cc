#include "base/allocator.h"
#include "base/counted.h"
#include "base/owned.h"
#include "base/test/support.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace bulkhead {
namespace {

using test::Probe;

TEST(Arena_allocator, uses_freed_memory_again)
{
	Arena_with_memory<256> arena;
	void *first = nullptr;
	for (int i = 0; i < 100; ++i) {
		auto const memory = arena.allocate(200, 8);
		ASSERT_TRUE(memory.ok());
		EXPECT_EQ(memory.value().size(), 200U);
		if (!first) first = memory.value().data();
		EXPECT_EQ(memory.value().data(), first);
		EXPECT_EQ(arena.allocate(200, 8).error(), Error::OUT_OF_MEMORY);
		arena.free(memory.value().data(), 200);
		EXPECT_EQ(arena.used(), 0U);
	}
}

TEST(Arena_allocator, lets_neighbours_grow_together_in_any_order)
{
	std::array<size_t, 4> order{0, 1, 2, 3};
	do {
		Arena_with_memory<256> arena;
		std::array<void *, 4> pieces{};
		for (auto &piece : pieces) piece = arena.allocate(64, 16).value().data();
		for (size_t const i : order) arena.free(pieces[i], 64);
		EXPECT_TRUE(arena.allocate(256, 16).ok());
	} while (std::next_permutation(order.begin(), order.end()));
}

TEST(Arena_allocator, keeps_every_alignment_and_wastes_nothing_for_good)
{
	alignas(512) static std::byte memory[2048];
	Arena_allocator arena(memory);
	auto const small = arena.allocate(1, 1);
	for (size_t align = 1; align <= 512; align *= 2) {
		auto const piece = arena.allocate(24, align);
		ASSERT_TRUE(piece.ok()) << align;
		EXPECT_EQ(reinterpret_cast<uintptr_t>(piece.value().data()) % align, 0U);
		arena.free(piece.value().data(), 24);
	}
	arena.free(small.value().data(), 1);
	EXPECT_TRUE(arena.allocate(2048, 512).ok());
	EXPECT_EQ(arena.allocate(1, 4096).error(), Error::OUT_OF_MEMORY);
}

TEST(Arena_allocator, lives_in_any_memory)
{
	alignas(16) std::byte memory[64];
	for (size_t from = 0; from <= 16; ++from)
		for (size_t size = 0; size <= 48; ++size) {
			Arena_allocator arena{std::span(memory).subspan(from, size)};
			size_t const all = arena.capacity();
			EXPECT_LE(all, size);
			EXPECT_EQ(arena.allocate(all + 1, 1).ok(), false);
			EXPECT_EQ(arena.allocate(all, 16).ok(), all > 0);
		}
	EXPECT_EQ(Arena_allocator({}).allocate(0, 1).error(), Error::OUT_OF_MEMORY);
	EXPECT_EQ(Arena_with_memory<64>().allocate(SIZE_MAX, 16).error(), Error::OUT_OF_MEMORY);
}

TEST(Arena_allocator, an_empty_piece_has_an_address_of_its_own)
{
	Arena_with_memory<64> arena;
	auto const a = arena.allocate(0, 1);
	auto const b = arena.allocate(0, 1);
	EXPECT_NE(a.value().data(), b.value().data());
	arena.free(a.value().data(), 0);
	arena.free(b.value().data(), 0);
	EXPECT_EQ(arena.used(), 0U);
}

TEST(Arena_allocator, notices_what_is_freed_twice_or_was_never_its_own)
{
	Arena_with_memory<128> arena;
	void *const a = arena.allocate(32, 16).value().data();
	static_cast<void>(arena.allocate(32, 16));
	arena.free(a, 32);
	EXPECT_DEATH(arena.free(a, 32), "");
	std::byte foreign[16];
	EXPECT_DEATH(arena.free(foreign, 16), "");
	EXPECT_DEATH(arena.free(static_cast<std::byte *>(a) + 32, 1000), "");
}

TEST(Arena_allocator, holds_whatever_comes_and_goes)
{
	struct Piece
	{
		std::span<std::byte> memory;
		std::byte mark;
	};
	Arena_with_memory<4096> arena;
	std::vector<Piece> pieces;
	std::mt19937 random(1);
	for (int i = 0; i < 20000; ++i) {
		if (random() % 2) {
			size_t const align = size_t{1} << random() % 8;
			auto const memory = arena.allocate(random() % 300, align);
			if (!memory.ok()) continue;
			std::byte const mark{static_cast<unsigned char>(random())};
			for (auto &byte : memory.value()) byte = mark;
			pieces.push_back({memory.value(), mark});
		} else if (!pieces.empty()) {
			size_t const at = random() % pieces.size();
			for (auto const byte : pieces[at].memory) ASSERT_EQ(byte, pieces[at].mark);
			arena.free(pieces[at].memory.data(), pieces[at].memory.size());
			pieces.erase(pieces.begin() + static_cast<ptrdiff_t>(at));
		}
	}
	for (auto const &piece : pieces) arena.free(piece.memory.data(), piece.memory.size());
	EXPECT_EQ(arena.used(), 0U);
	EXPECT_TRUE(arena.allocate(arena.capacity(), 16).ok());
}

TEST(Create, makes_and_destroys_objects)
{
	Probe::alive = 0;
	Arena_with_memory<128> arena;
	auto const probe = create<Probe>(arena, 3);
	ASSERT_TRUE(probe.ok());
	EXPECT_EQ(probe.value().value, 3);
	EXPECT_EQ(Probe::alive, 1);
	destroy(arena, probe.value());
	EXPECT_EQ(Probe::alive, 0);
	EXPECT_EQ(arena.used(), 0U);
	EXPECT_EQ(create_array<Probe>(arena, 1000).error(), Error::OUT_OF_MEMORY);
	EXPECT_EQ(create_array<Probe>(arena, SIZE_MAX).error(), Error::OUT_OF_MEMORY);
	EXPECT_EQ(Probe::alive, 0);
	auto const array = create_array<Probe>(arena, 5);
	EXPECT_EQ(array.value().size(), 5U);
	EXPECT_EQ(Probe::alive, 5);
	destroy_array(arena, array.value());
	EXPECT_EQ(Probe::alive, 0);
	EXPECT_EQ(arena.used(), 0U);
}

struct Speaker
{
	virtual int speak() const = 0;

protected:
	~Speaker() = default;
};

struct Padding
{
	virtual int pad() const { return pads; }
	int pads = 9;

protected:
	~Padding() = default;
};

struct Parrot final : Padding, Speaker
{
	Probe probe{5};

	int speak() const override { return probe.value; }
};

static_assert(!Destroyable_as_itself<Speaker>, "its size is unknown");
static_assert(Destroyable_as_itself<Parrot>);

TEST(Owned, destroys_the_object_that_was_made_behind_an_interface)
{
	Probe::alive = 0;
	Arena_with_memory<256> arena;
	{
		Owned<Speaker> speaker = create_owned<Parrot>(arena).value();
		EXPECT_EQ(speaker->speak(), 5);
		Owned<Speaker> other = std::move(speaker);
		EXPECT_FALSE(speaker);
		EXPECT_TRUE(other);
		other = create_owned<Parrot>(arena).value();
		EXPECT_EQ(Probe::alive, 1);
		auto &same = other;
		other = std::move(same);
		EXPECT_EQ((*other).speak(), 5);
	}
	EXPECT_EQ(Probe::alive, 0);
	EXPECT_EQ(arena.used(), 0U);
	EXPECT_DEATH(Owned<Speaker>()->speak(), "");
}

TEST(Owned, says_when_there_is_no_memory)
{
	Arena_with_memory<16> arena;
	EXPECT_EQ(create_owned<Parrot>(arena).error(), Error::OUT_OF_MEMORY);
}

struct Shared : Counted
{
	int gone = 0;

	void unreferenced() override { ++gone; }
};

struct Shared_more final : Shared
{};

TEST(Ref, tells_the_object_when_the_last_reference_is_gone)
{
	Shared_more object;
	{
		Ref<Shared_more> a(object);
		Ref<Shared> b = a;
		EXPECT_EQ(object.references(), 2U);
		Ref<Shared> c = std::move(b);
		EXPECT_EQ(object.references(), 2U);
		EXPECT_FALSE(b);
		a.reset();
		EXPECT_EQ(object.gone, 0);
		auto &same = c;
		c = same;
		c = std::move(same);
		EXPECT_EQ(object.references(), 1U);
		EXPECT_EQ(c, Ref<Shared>(object));
		EXPECT_EQ(c->gone, 0);
	}
	EXPECT_EQ(object.gone, 1);
	{
		Ref<Shared> const again(object);
	}
	EXPECT_EQ(object.gone, 2) << "it may be referred to again";
	EXPECT_DEATH(*Ref<Shared>(), "");
}

TEST(Ref, of_an_object_that_vanishes_is_a_mistake)
{
	auto const vanish = [] {
		Ref<Shared> ref;
		Shared object;
		ref = Ref<Shared>(object);
	};
	EXPECT_DEATH(vanish(), "");
}

struct Pooled final : Counted
{
	Allocator &allocator;
	Ref<Pooled> next{};
	Probe probe{};

	explicit Pooled(Allocator &a) : allocator(a) {}

	void unreferenced() override
	{
		Allocator &by = allocator;
		destroy(by, *this);
	}
};

TEST(Ref, objects_free_themselves_and_what_they_refer_to)
{
	Probe::alive = 0;
	Arena_with_memory<1024> arena;
	{
		Ref<Pooled> chain;
		for (int i = 0; i < 5; ++i) {
			Ref<Pooled> one(create<Pooled>(arena, arena).value());
			one->next = chain;
			chain = one;
		}
		EXPECT_EQ(Probe::alive, 5);
		chain = chain->next;
		EXPECT_EQ(Probe::alive, 4);
	}
	EXPECT_EQ(Probe::alive, 0);
	EXPECT_EQ(arena.used(), 0U);
}

} // namespace
} // namespace bulkhead
