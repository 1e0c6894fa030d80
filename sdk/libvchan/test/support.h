#pragma once

// What the tests of the C interfaces share: a place to meet that goes away, and domains that are
// one process.

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>
#include <string>

namespace bulkhead::sdk::test {

inline constexpr int SERVER = 1;
inline constexpr int CLIENT = 2;
inline constexpr int PORT = 513;
inline constexpr int HANG_MS = 60'000;

/* An empty directory that both transports are told to use. */
class Meeting_place
{
private:
	std::string _path = std::filesystem::temp_directory_path() / "bulkhead-libvchan-XXXXXX";

public:
	explicit Meeting_place(char const *transport)
	{
		if (!mkdtemp(_path.data())) abort();
		setenv("BULKHEAD_VCHAN", transport, 1);
		setenv("BULKHEAD_VCHAN_DIR", _path.c_str(), 1);
		setenv("VCHAN_SOCKET_DIR", _path.c_str(), 1);
	}
	Meeting_place(Meeting_place const &) = delete;
	Meeting_place &operator=(Meeting_place const &) = delete;
	~Meeting_place()
	{
		EXPECT_TRUE(std::filesystem::is_empty(_path)) << "something was left behind";
		std::filesystem::remove_all(_path);
	}

	std::string const &path() const { return _path; }
};

/* From here on this process is that domain. */
inline void be(int domain) { setenv("VCHAN_DOMAIN", std::to_string(domain).c_str(), 1); }

inline bool readable(int fd, int patience_ms = 0)
{
	pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
	return poll(&entry, 1, patience_ms) == 1;
}

/* Bytes that tell their positions. */
inline std::string numbered(size_t size)
{
	std::string bytes(size, '\0');
	for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 256);
	return bytes;
}

inline std::string transport_of(testing::TestParamInfo<char const *> const &info)
{
	return info.param;
}

} // namespace bulkhead::sdk::test
