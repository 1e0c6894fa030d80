// Who gets a worker when there are few.

#include "component/qrexec/agent/workers.h"
#include "sdk/libvchan/rendezvous.h"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

namespace bulkhead::qrexec {
namespace {

namespace fs = std::filesystem;

constexpr int OWN = 42;

struct Noted final : Workers::Events
{
	std::vector<uint64_t> ended{};

	void call_ended(uint64_t token) override { ended.push_back(token); }
};

/* Callers don't come unless the test says so: a call lasts as long as it is wanted. */
class Few_workers : public testing::Test
{
protected:
	fs::path _directory{};
	linux_host::Loop _loop{};
	Noted _noted{};
	Serving const _serving{};
	std::optional<Workers> _workers{};

	void SetUp() override
	{
		std::string path = fs::temp_directory_path() / "qrexec-workers-XXXXXX";
		ASSERT_NE(mkdtemp(path.data()), nullptr);
		_directory = path;
		setenv("BULKHEAD_VCHAN", "socket", 1);
		setenv("VCHAN_SOCKET_DIR", path.c_str(), 1);
		setenv("VCHAN_DOMAIN", std::to_string(OWN).c_str(), 1);
		rlimit files{};
		getrlimit(RLIMIT_NOFILE, &files);
		_workers.emplace(_loop, _serving, _noted, files, 4);
	}

	void TearDown() override
	{
		_workers.reset();
		fs::remove_all(_directory);
		for (char const *name : {"BULKHEAD_VCHAN", "VCHAN_SOCKET_DIR", "VCHAN_DOMAIN"})
			unsetenv(name);
	}

	bool call(uint32_t domain, uint32_t port)
	{
		auto request = std::make_unique<Service_request>();
		request->token = port;
		request->type = Type::EXEC_CMDLINE;
		request->params = {domain, port};
		request->line = "user:true";
		request->resolve(_serving.places, _serving.with_user);
		return _workers->run(request);
	}
};

TEST_F(Few_workers, are_not_all_for_one_domain)
{
	for (uint32_t port = 600; port < 605; ++port) EXPECT_TRUE(call(7, port));
	EXPECT_EQ(_workers->calls(), 3U);
	EXPECT_EQ(_workers->waiting(), 2U);
	EXPECT_TRUE(call(8, 700));
	EXPECT_EQ(_workers->calls(), 4U);
	EXPECT_TRUE(call(0, 800));
	EXPECT_EQ(_workers->waiting(), 3U);

	// A caller that comes and goes at once: its worker is the host's now.
	int error = 0;
	std::string why;
	auto caller = sdk::open_transport(nullptr,
		{.server = true,
			.own = 8,
			.peer = OWN,
			.port = 700,
			.read_bytes = 4096,
			.write_bytes = 4096},
		error, why);
	ASSERT_NE(caller, nullptr) << why;
	while (caller->look() == 0 && caller->state() == vchan::State::WAITING) {
		caller->arm(vchan::sleep_for::ANY);
		_loop.poll(_loop.clock().now_us() + 1000);
	}
	caller.reset();
	while (_noted.ended.empty()) _loop.poll(NEVER_US);
	EXPECT_EQ(_noted.ended, std::vector<uint64_t>{700});
	EXPECT_EQ(_workers->calls(), 4U);
	EXPECT_EQ(_workers->waiting(), 2U);
}

} // namespace
} // namespace bulkhead::qrexec
