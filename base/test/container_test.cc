#include "base/fixed_map.h"
#include "base/fixed_string.h"
#include "base/fixed_vector.h"
#include "base/list.h"
#include "base/test/support.h"

#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

using test::Probe;

template <typename T, size_t N>
std::vector<int> values(Fixed_vector<T, N> const &vector)
{
	std::vector<int> result;
	for (auto const &element : vector) result.push_back(element.value);
	return result;
}

TEST(Fixed_vector, says_when_it_is_full)
{
	Fixed_vector<int, 2> vector;
	EXPECT_TRUE(vector.push_back(1).ok());
	EXPECT_EQ(vector.push_back(2).value(), 2);
	EXPECT_TRUE(vector.full());
	EXPECT_EQ(vector.push_back(3).error(), Error::NO_SPACE);
	EXPECT_EQ(vector.insert(0, 3).error(), Error::NO_SPACE);
	EXPECT_EQ(vector.size(), 2U);
	EXPECT_EQ(vector.front() + vector.back(), 3);
	EXPECT_DEATH(static_cast<void>(vector[2]), "");
	vector.clear();
	EXPECT_DEATH(vector.pop_back(), "");
	EXPECT_DEATH(static_cast<void>(vector.back()), "");
}

TEST(Fixed_vector, constructs_and_destroys_each_element_once)
{
	Probe::alive = 0;
	{
		Fixed_vector<Probe, 8> a;
		EXPECT_EQ(Probe::alive, 0);
		for (int i = 0; i < 5; ++i) static_cast<void>(a.emplace_back(i));
		a.erase(1);
		static_cast<void>(a.insert(0, Probe(9)));
		static_cast<void>(a.insert(5, Probe(8)));
		static_cast<void>(a.insert(2, Probe(7)));
		EXPECT_EQ(values(a), (std::vector<int>{9, 0, 7, 2, 3, 4, 8}));
		EXPECT_EQ(Probe::alive, 7);
		EXPECT_EQ(a.erase_if([](Probe const &probe) { return probe.value % 2 == 0; }), 4U);
		EXPECT_EQ(values(a), (std::vector<int>{9, 7, 3}));
		Fixed_vector<Probe, 8> b(a);
		Fixed_vector<Probe, 8> c(std::move(a));
		EXPECT_TRUE(a.empty());
		EXPECT_EQ(values(b), values(c));
		EXPECT_EQ(Probe::alive, 6);
		a = b;
		b = std::move(c);
		auto &same = b;
		b = same;
		b = std::move(same);
		EXPECT_EQ(values(b), (std::vector<int>{9, 7, 3}));
		EXPECT_EQ(Probe::alive, 6);
	}
	EXPECT_EQ(Probe::alive, 0);
}

TEST(Fixed_vector, holds_what_can_not_be_copied)
{
	Fixed_vector<std::unique_ptr<int>, 4> vector;
	for (int i = 0; i < 4; ++i) static_cast<void>(vector.push_back(std::make_unique<int>(i)));
	vector.erase(0);
	auto moved = std::move(vector);
	EXPECT_EQ(*moved[0], 1);
	EXPECT_EQ(std::span<std::unique_ptr<int>>(moved).size(), 3U);
	static_assert(!std::is_copy_constructible_v<decltype(vector)>);
	static_assert(!std::is_copy_assignable_v<decltype(vector)>);
}

TEST(Fixed_map, finds_what_was_inserted)
{
	Fixed_map<Fixed_string<8>, int, 3> map;
	EXPECT_EQ(map.find(std::string_view("a")), nullptr);
	EXPECT_TRUE(map.insert("b", 2).ok());
	EXPECT_TRUE(map.insert("a", 1).ok());
	EXPECT_EQ(map.insert("a", 9).error(), Error::EXISTS);
	EXPECT_TRUE(map.insert("c", 3).ok());
	EXPECT_EQ(map.insert("d", 4).error(), Error::NO_SPACE);
	EXPECT_EQ(map.insert("c", 4).error(), Error::EXISTS) << "known, although it is full";
	EXPECT_EQ(*map.find(std::string_view("a")), 1);
	*map.find(std::string_view("a")) = 7;
	auto const &constant = map;
	EXPECT_EQ(*constant.find(std::string_view("a")), 7);
	EXPECT_EQ(constant.find(std::string_view("aa")), nullptr);
	std::string keys;
	for (auto const &entry : map) keys += entry.key().view();
	EXPECT_EQ(keys, "abc");
	EXPECT_TRUE(map.erase(std::string_view("b")));
	EXPECT_FALSE(map.erase(std::string_view("b")));
	EXPECT_EQ(map.size(), 2U);
}

TEST(Fixed_map, behaves_as_the_map_of_the_library)
{
	Fixed_map<int, std::unique_ptr<int>, 16> map;
	std::map<int, int> oracle;
	std::mt19937 random(1);
	for (int i = 0; i < 10000; ++i) {
		int const key = static_cast<int>(random() % 24);
		if (random() % 2) {
			bool const fits = oracle.size() < 16;
			bool const expected = fits && oracle.emplace(key, i).second;
			ASSERT_EQ(map.insert(key, std::make_unique<int>(i)).ok(), expected);
		} else {
			ASSERT_EQ(map.erase(key), oracle.erase(key) == 1);
		}
		ASSERT_EQ(map.size(), oracle.size());
		auto at = oracle.begin();
		for (auto const &entry : map) {
			ASSERT_EQ(entry.key(), at->first);
			ASSERT_EQ(*entry.value, at->second);
			++at;
		}
	}
}

struct Other;

struct Node : Link<Node>, Link<Node, Other>
{
	char name;

	explicit Node(char n) : name(n) {}
};

struct Alphabet
{
	Node a{'a'};
	Node b{'b'};
	Node c{'c'};
	List<Node> list{};

	std::string names()
	{
		std::string result;
		list.for_each([&](Node &node) { result += node.name; });
		return result;
	}
};

TEST(List, keeps_its_order)
{
	Alphabet alphabet;
	auto &[a, b, c, list] = alphabet;
	EXPECT_EQ(list.front(), nullptr);
	EXPECT_EQ(list.back(), nullptr);
	EXPECT_EQ(list.pop_front(), nullptr);
	list.push_back(b);
	list.push_front(a);
	list.insert_after(&b, c);
	EXPECT_EQ(alphabet.names(), "abc");
	EXPECT_EQ(list.next(a), &b);
	EXPECT_EQ(list.next(c), nullptr);
	EXPECT_EQ(list.previous(a), nullptr);
	EXPECT_EQ(list.previous(c), &b);
	EXPECT_EQ(list.pop_front(), &a);
	list.insert_after(nullptr, a);
	EXPECT_EQ(alphabet.names(), "abc");
}

TEST(List, lets_elements_leave_by_themselves)
{
	Alphabet alphabet;
	auto &[a, b, c, list] = alphabet;
	{
		Node vanishing('v');
		for (Node *const node : {&a, &b, &vanishing, &c}) list.push_back(*node);
		static_cast<Link<Node> &>(b).unlink();
		static_cast<Link<Node> &>(b).unlink();
		EXPECT_EQ(alphabet.names(), "avc");
	}
	EXPECT_EQ(alphabet.names(), "ac");
	list.for_each([](Node &node) { static_cast<Link<Node> &>(node).unlink(); });
	EXPECT_TRUE(list.empty());
}

TEST(List, may_share_elements_with_another_one_and_vanish)
{
	Node a('a');
	{
		List<Node> one;
		List<Node, Other> other;
		one.push_back(a);
		other.push_back(a);
		EXPECT_EQ(other.front(), &a);
		EXPECT_DEATH(one.push_back(a), "");
	}
	EXPECT_FALSE((static_cast<Link<Node, Other> &>(a).linked()));
	EXPECT_FALSE((static_cast<Link<Node> &>(a).linked()));
}

} // namespace
} // namespace bulkhead
