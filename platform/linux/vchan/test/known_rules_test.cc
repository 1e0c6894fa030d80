#include "platform/linux/vchan/directory.h"
#include "platform/linux/vchan/known_rules.h"

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <vector>

namespace bulkhead::linux_host {
namespace {

struct stat status(ino_t inode)
{
	struct stat made{};
	made.st_dev = 1;
	made.st_ino = inode;
	made.st_mode = S_IFREG | 0644;
	made.st_size = 10;
	made.st_mtim = made.st_ctim = {1000, 5};
	return made;
}

TEST(Known_rules, are_those_of_the_same_unchanged_file_in_the_same_directory)
{
	struct stat const directory = status(2), file = status(3);
	auto const rules = std::make_shared<Access_rules const>();
	remember_rules({directory, file}, rules);
	EXPECT_EQ(known_rules({directory, file}), rules);
	std::vector<std::function<void(struct stat &)>> const changes = {
		[](struct stat &s) { ++s.st_dev; },
		[](struct stat &s) { ++s.st_ino; },
		[](struct stat &s) { ++s.st_uid; },
		[](struct stat &s) { s.st_mode |= S_IWGRP; },
		[](struct stat &s) { ++s.st_nlink; },
		[](struct stat &s) { ++s.st_size; },
		[](struct stat &s) { ++s.st_mtim.tv_nsec; },
		[](struct stat &s) { ++s.st_ctim.tv_nsec; },
	};
	for (size_t i = 0; i < changes.size(); ++i) {
		struct stat other = file;
		changes[i](other);
		EXPECT_EQ(known_rules({directory, other}), nullptr) << i;
		other = directory;
		changes[i](other);
		// The directory changes with each name in it.
		EXPECT_EQ(known_rules({other, file}) == nullptr, i < 4) << i;
	}
}

TEST(Known_rules, are_the_last_ones)
{
	auto const first = std::make_shared<Access_rules const>();
	auto const second = std::make_shared<Access_rules const>();
	remember_rules({status(2), status(3)}, first);
	remember_rules({status(2), status(4)}, second);
	EXPECT_EQ(known_rules({status(2), status(3)}), nullptr);
	EXPECT_EQ(known_rules({status(2), status(4)}), second);
}

TEST(Known_rules, are_not_those_of_a_file_that_has_just_been_changed)
{
	struct stat file = status(3);
	EXPECT_FALSE(Rules_origin(status(2), file).recent());
	clock_gettime(CLOCK_REALTIME, &file.st_ctim);
	EXPECT_TRUE(Rules_origin(status(2), file).recent());
	file.st_ctim.tv_sec += 3600; // the clock was set back
	EXPECT_TRUE(Rules_origin(status(2), file).recent());
}

/* A directory whose rules have been read and are old enough to be known. */
class Known_rules_of_a_directory : public testing::Test
{
protected:
	std::string path = []() -> std::string {
		char name[] = "/tmp/known_rules_test.XXXXXX";
		return mkdtemp(name) ? name : "";
	}();
	std::string const file = path + "/domains";
	Directory directory{};

	void SetUp() override
	{
		write("7 64321\n");
		struct stat now{};
		do ASSERT_EQ(stat(file.c_str(), &now), 0);
		while (Rules_origin(now, now).recent());
		open();
		open();
		EXPECT_TRUE(directory.rules().allows(7, 64321));
	}
	~Known_rules_of_a_directory() override { std::filesystem::remove_all(path); }

	void write(char const *text) const { std::ofstream(file) << text; }
	void open() { ASSERT_TRUE(directory.open(path).ok()) << directory.message(); }
};

TEST_F(Known_rules_of_a_directory, are_read_again_when_the_file_has_changed)
{
	write("7 64322\n"); // as long, and the same file
	open();
	EXPECT_FALSE(directory.rules().allows(7, 64321));
	EXPECT_TRUE(directory.rules().allows(7, 64322));
}

TEST_F(Known_rules_of_a_directory, end_with_the_file)
{
	ASSERT_TRUE(std::filesystem::remove(file));
	open();
	EXPECT_FALSE(directory.rules().allows(7, 64321));
	EXPECT_TRUE(directory.rules().allows(7, geteuid()));
}

TEST_F(Known_rules_of_a_directory, are_refused_when_others_may_write_to_the_file)
{
	ASSERT_EQ(chmod(file.c_str(), 0666), 0);
	EXPECT_EQ(directory.open(path).error(), Connect_error::BAD_RULES);
	ASSERT_EQ(chmod(file.c_str(), 0644), 0);
	open();
	std::filesystem::create_hard_link(file, path + "/link");
	EXPECT_EQ(directory.open(path).error(), Connect_error::BAD_RULES);
}

} // namespace
} // namespace bulkhead::linux_host
