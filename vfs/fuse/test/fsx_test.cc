// Random operations on a mounted file system and, one by one, on a directory of the host as the
// oracle: both must answer alike and look alike afterwards.
//
// BULKHEAD_FSX_SEED and BULKHEAD_FSX_STEPS change what is done; a failure names both.

#include "vfs/fuse/test/served.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vector>

namespace bulkhead::fuse {
namespace {

unsigned setting(char const *name, unsigned otherwise)
{
	char const *const value = getenv(name);
	return value ? static_cast<unsigned>(strtoul(value, nullptr, 10)) : otherwise;
}

/* A directory of the host, gone at the end. */
class Oracle_directory
{
public:
	std::string path;

	Oracle_directory()
	{
		char name[] = "/tmp/bulkhead_oracle.XXXXXX";
		path = mkdtemp(name) ? name : "";
	}
	~Oracle_directory() { (void)!system(("rm -rf " + path).c_str()); }
};

class Random
{
private:
	std::mt19937 _engine;

public:
	explicit Random(unsigned seed) : _engine(seed) {}

	/* From 0 to below the limit. */
	unsigned below(unsigned limit) { return static_cast<unsigned>(_engine() % limit); }
};

// A file

class File_pair
{
private:
	static constexpr unsigned SIZE_MAX_BYTES = 256 * 1024;

	int _ours, _oracle;
	Random &_random;
	std::vector<char> _a = std::vector<char>(SIZE_MAX_BYTES), _b = _a;

	std::pair<unsigned, unsigned> _range()
	{
		unsigned const offset = _random.below(SIZE_MAX_BYTES);
		unsigned const most = _random.below(4) ? 5000 : SIZE_MAX_BYTES;
		return {offset, std::min(_random.below(most), SIZE_MAX_BYTES - offset)};
	}

	off_t _size() const
	{
		struct stat ours{}, oracle{};
		fstat(_ours, &ours);
		fstat(_oracle, &oracle);
		EXPECT_EQ(ours.st_size, oracle.st_size);
		return oracle.st_size;
	}

	void _read()
	{
		auto const [offset, size] = _range();
		ssize_t const ours = pread(_ours, _a.data(), size, offset);
		ssize_t const oracle = pread(_oracle, _b.data(), size, offset);
		ASSERT_EQ(ours, oracle) << "read of " << size << " at " << offset;
		ASSERT_EQ(memcmp(_a.data(), _b.data(), static_cast<size_t>(ours)), 0)
			<< "read of " << size << " at " << offset;
	}

	void _fill(unsigned size)
	{
		for (unsigned i = 0; i < size; i += 1 + i / 16)
			_a[i] = static_cast<char>(_random.below(256));
	}

	void _write()
	{
		auto const [offset, size] = _range();
		_fill(size);
		ASSERT_EQ(pwrite(_ours, _a.data(), size, offset), static_cast<ssize_t>(size));
		ASSERT_EQ(pwrite(_oracle, _a.data(), size, offset), static_cast<ssize_t>(size));
	}

	void _append()
	{
		unsigned const size = _random.below(3000);
		if (_size() + size > SIZE_MAX_BYTES) return;
		_fill(size);
		for (int const fd : {_ours, _oracle}) {
			fcntl(fd, F_SETFL, O_APPEND);
			ASSERT_EQ(write(fd, _a.data(), size), static_cast<ssize_t>(size));
			fcntl(fd, F_SETFL, 0);
		}
	}

	void _seek_and_read()
	{
		off_t const offset = -static_cast<off_t>(_random.below(1000));
		off_t const ours = lseek(_ours, offset, SEEK_END);
		off_t const oracle = lseek(_oracle, offset, SEEK_END);
		ASSERT_EQ(ours, oracle);
		if (ours < 0) return;
		ssize_t const size = read(_ours, _a.data(), 700);
		ASSERT_EQ(size, read(_oracle, _b.data(), 700));
		ASSERT_EQ(memcmp(_a.data(), _b.data(), static_cast<size_t>(size)), 0);
	}

	void _truncate()
	{
		off_t const size = static_cast<off_t>(_random.below(SIZE_MAX_BYTES));
		ASSERT_EQ(ftruncate(_ours, size), 0);
		ASSERT_EQ(ftruncate(_oracle, size), 0);
	}

	void _map(bool write)
	{
		size_t const size = static_cast<size_t>(_size());
		if (!size) return;
		int const rights = write ? PROT_READ | PROT_WRITE : PROT_READ;
		void *const ours = mmap(nullptr, size, rights, MAP_SHARED, _ours, 0);
		void *const oracle = mmap(nullptr, size, rights, MAP_SHARED, _oracle, 0);
		ASSERT_NE(ours, MAP_FAILED);
		ASSERT_NE(oracle, MAP_FAILED);
		if (write) {
			size_t const at = _random.below(static_cast<unsigned>(size));
			static_cast<char *>(ours)[at] = static_cast<char *>(oracle)[at] = 'm';
			EXPECT_EQ(msync(ours, size, MS_SYNC), 0);
		}
		EXPECT_EQ(memcmp(ours, oracle, size), 0);
		munmap(ours, size);
		munmap(oracle, size);
	}

public:
	File_pair(std::string const &ours, std::string const &oracle, Random &random)
		: _ours(open(ours.c_str(), O_RDWR | O_CREAT, 0644)),
		  _oracle(open(oracle.c_str(), O_RDWR | O_CREAT, 0644)),
		  _random(random)
	{}
	~File_pair()
	{
		close(_ours);
		close(_oracle);
	}

	void step()
	{
		switch (_random.below(16)) {
		case 0: return _truncate();
		case 1: return _append();
		case 2: return _map(false);
		case 3: return _map(true);
		case 4: return _seek_and_read();
		case 5: ASSERT_EQ(fsync(_ours), 0); break;
		case 6:
		case 7:
		case 8:
		case 9:
		case 10: return _write();
		default: return _read();
		}
	}

	void compare()
	{
		off_t const size = _size();
		ASSERT_EQ(pread(_ours, _a.data(), _a.size(), 0), size);
		ASSERT_EQ(pread(_oracle, _b.data(), _b.size(), 0), size);
		ASSERT_EQ(memcmp(_a.data(), _b.data(), static_cast<size_t>(size)), 0);
	}
};

TEST(Fsx, a_file_is_as_one_of_the_host)
{
	unsigned const seed = setting("BULKHEAD_FSX_SEED", 1);
	unsigned const steps = setting("BULKHEAD_FSX_STEPS", 4000);
	Served served;
	Oracle_directory const oracle;
	Random random(seed);
	File_pair pair(served.path("ram/file"), oracle.path + "/file", random);
	for (unsigned i = 0; i < steps; ++i) {
		pair.step();
		if (i % 100 == 0) pair.compare();
		ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << ", step " << i;
	}
	pair.compare();
}

// A tree

/* What can be seen of an entry, as a text; numbers of inodes are compared by who shares them. */
std::string seen(
	std::string const &path, std::map<ino_t, std::string> &first_names, std::string const &name)
{
	struct stat found{};
	if (lstat(path.c_str(), &found) != 0) return strerror(errno);
	std::string text = std::to_string(found.st_mode) + " " + std::to_string(found.st_uid);
	if (!S_ISDIR(found.st_mode))
		text += " " + std::to_string(found.st_size) + " " + std::to_string(found.st_nlink) +
			" as " + first_names.emplace(found.st_ino, name).first->second;
	char target[PATH_MAX];
	if (ssize_t const size = readlink(path.c_str(), target, sizeof target); size >= 0)
		text += " -> " + std::string(target, static_cast<size_t>(size));
	return text;
}

void describe(std::string const &root, std::string const &below,
	std::map<ino_t, std::string> &first_names, std::map<std::string, std::string> &result)
{
	std::set<std::string> names;
	if (DIR *const directory = opendir((root + below).c_str())) {
		while (dirent const *const entry = readdir(directory))
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
				EXPECT_TRUE(names.insert(entry->d_name).second) << entry->d_name;
			}
		closedir(directory);
	}
	for (std::string const &entry : names) {
		std::string const name = below + "/" + entry;
		result[name] = seen(root + name, first_names, name);
		struct stat found{};
		if (lstat((root + name).c_str(), &found) == 0 && S_ISDIR(found.st_mode))
			describe(root, name, first_names, result);
	}
}

std::map<std::string, std::string> description(std::string const &root)
{
	std::map<ino_t, std::string> first_names;
	std::map<std::string, std::string> result;
	describe(root, "", first_names, result);
	return result;
}

class Tree_pair
{
private:
	std::string const _ours, _oracle;
	Random &_random;

	/* A name of at most three components, of few letters: they meet often. */
	std::string _name()
	{
		std::string name;
		for (unsigned depth = 1 + _random.below(3); depth; --depth)
			name += std::string("/") + static_cast<char>('a' + _random.below(4));
		return name;
	}

	/* Does the same on both sides; results and errors must be alike. */
	template <typename FN>
	void _both(std::string const &what, FN &&fn)
	{
		errno = 0;
		long const ours = fn(_ours);
		int const our_error = ours < 0 ? errno : 0;
		errno = 0;
		long const oracle = fn(_oracle);
		int const oracle_error = oracle < 0 ? errno : 0;
		EXPECT_EQ(ours, oracle) << what;
		EXPECT_STREQ(strerror(our_error), strerror(oracle_error)) << what;
	}

	static long _make_file(std::string const &path, int flags)
	{
		int const fd = open(path.c_str(), O_WRONLY | O_CREAT | flags, 0640);
		if (fd < 0) return -1;
		long const size = write(fd, "some text", 9);
		close(fd);
		return size;
	}

public:
	Tree_pair(std::string ours, std::string oracle, Random &random)
		: _ours(std::move(ours)), _oracle(std::move(oracle)), _random(random)
	{}

	void step()
	{
		std::string const a = _name(), b = _name();
		unsigned const mode = 0700 | _random.below(0100);
		int const flags = _random.below(2) ? O_EXCL : O_TRUNC;
		using std::string;
		switch (_random.below(11)) {
		case 0:
		case 1:
			return _both("create " + a, [&](string const &r) { return _make_file(r + a, flags); });
		case 2:
		case 3:
			return _both(
				"mkdir " + a, [&](string const &r) { return mkdir((r + a).c_str(), mode); });
		case 4:
			return _both("unlink " + a, [&](string const &r) { return unlink((r + a).c_str()); });
		case 5: return _both("rmdir " + a, [&](string const &r) { return rmdir((r + a).c_str()); });
		case 6:
			return _both("rename " + a + " " + b,
				[&](string const &r) { return rename((r + a).c_str(), (r + b).c_str()); });
		case 7: {
			unsigned const how = _random.below(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
			return _both("renameat2 " + a + " " + b, [&](string const &r) {
				return renameat2(AT_FDCWD, (r + a).c_str(), AT_FDCWD, (r + b).c_str(), how);
			});
		}
		case 8:
			return _both("link " + a + " " + b,
				[&](string const &r) { return link((r + a).c_str(), (r + b).c_str()); });
		case 9:
			return _both("symlink " + b,
				[&](string const &r) { return symlink(a.c_str() + 1, (r + b).c_str()); });
		default:
			return _both("chmod " + a,
				[&](string const &r) { return fchmodat(AT_FDCWD, (r + a).c_str(), mode, 0); });
		}
	}

	void compare() { EXPECT_EQ(description(_ours), description(_oracle)); }
};

TEST(Fsx, a_tree_is_as_one_of_the_host)
{
	unsigned const seed = setting("BULKHEAD_FSX_SEED", 1);
	unsigned const steps = setting("BULKHEAD_FSX_STEPS", 4000);
	Served served;
	Oracle_directory const oracle;
	Random random(seed);
	Tree_pair pair(served.path("ram"), oracle.path, random);
	for (unsigned i = 0; i < steps; ++i) {
		pair.step();
		if (i % 50 == 0) pair.compare();
		ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed << ", step " << i;
	}
	pair.compare();
}

} // namespace
} // namespace bulkhead::fuse
