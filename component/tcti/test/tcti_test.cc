// The module as tpm2-tss' loader and a TSS see it.

#include "platform/sim/swtpm_process.h"

#include <array>
#include <cstring>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <tss2/tss2_tcti.h>
#include <vector>

namespace bulkhead {
namespace {

class Tcti : public testing::Test
{
protected:
	static constexpr std::array<uint8_t, 12> GET_RANDOM{
		0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 16};
	static constexpr size_t RESPONSE_BYTES = 12 + 16;

	sim::Swtpm_process swtpm{};
	void *module = nullptr;
	TSS2_TCTI_INFO const *info = nullptr;
	std::vector<uint64_t> memory{}; // of the context
	TSS2_TCTI_CONTEXT *tcti = nullptr;

	void SetUp() override
	{
		ASSERT_TRUE(swtpm.start().ok()) << swtpm.message();
		module = dlopen(TCTI_MODULE, RTLD_NOW | RTLD_LOCAL);
		ASSERT_NE(module, nullptr) << dlerror();
		auto const entry =
			reinterpret_cast<TSS2_TCTI_INFO_FUNC>(dlsym(module, TSS2_TCTI_INFO_SYMBOL));
		ASSERT_NE(entry, nullptr);
		info = entry();
	}

	void TearDown() override
	{
		Tss2_Tcti_Finalize(tcti);
		if (module) dlclose(module);
	}

	std::string name() const
	{
		return "sim:" + swtpm.data_socket() + ",control=" + swtpm.control_socket();
	}

	TSS2_RC init(std::string const &configuration)
	{
		size_t size = 0;
		if (TSS2_RC const code = info->init(nullptr, &size, nullptr)) return code;
		memory.assign((size + 7) / 8, 0);
		auto *const context = reinterpret_cast<TSS2_TCTI_CONTEXT *>(memory.data());
		TSS2_RC const code = info->init(context, &size, configuration.c_str());
		if (code == TSS2_RC_SUCCESS) tcti = context;
		return code;
	}

	TSS2_RC transmit() { return Tss2_Tcti_Transmit(tcti, GET_RANDOM.size(), GET_RANDOM.data()); }

	TSS2_RC receive(std::vector<uint8_t> &to, int32_t timeout_ms = TSS2_TCTI_TIMEOUT_BLOCK)
	{
		size_t size = to.size();
		TSS2_RC const code = Tss2_Tcti_Receive(tcti, &size, to.data(), timeout_ms);
		if (code == TSS2_RC_SUCCESS) to.resize(size);
		return code;
	}
};

TEST_F(Tcti, says_what_it_is)
{
	EXPECT_EQ(info->version, 2u);
	EXPECT_STREQ(info->name, "tcti-bulkhead");
	EXPECT_NE(std::string(info->config_help).find("spidev:"), std::string::npos);
}

TEST_F(Tcti, shows_its_entry_points_only)
{
	EXPECT_NE(dlsym(module, "Tss2_Tcti_Bulkhead_Init"), nullptr);
	std::string const command = std::string("nm -D --defined-only ") + TCTI_MODULE + " | wc -l";
	FILE *const pipe = popen(command.c_str(), "r");
	int count = 0;
	EXPECT_EQ(fscanf(pipe, "%d", &count), 1);
	pclose(pipe);
	EXPECT_EQ(count, 2);
}

TEST_F(Tcti, executes_commands)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	std::vector<uint8_t> first(4096), second(4096);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	ASSERT_EQ(receive(first), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	ASSERT_EQ(receive(second, 60'000), TSS2_RC_SUCCESS);
	EXPECT_EQ(first.size(), RESPONSE_BYTES);
	EXPECT_EQ(second.size(), RESPONSE_BYTES);
	EXPECT_NE(first, second);
}

TEST_F(Tcti, tells_the_size_before_it_gives_the_response)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	size_t size = 0;
	ASSERT_EQ(Tss2_Tcti_Receive(tcti, &size, nullptr, TSS2_TCTI_TIMEOUT_BLOCK), TSS2_RC_SUCCESS);
	EXPECT_EQ(size, RESPONSE_BYTES);
	std::vector<uint8_t> small(RESPONSE_BYTES - 1);
	size = small.size();
	EXPECT_EQ(Tss2_Tcti_Receive(tcti, &size, small.data(), TSS2_TCTI_TIMEOUT_BLOCK),
		TSS2_TCTI_RC_INSUFFICIENT_BUFFER);
	EXPECT_EQ(size, RESPONSE_BYTES);
	std::vector<uint8_t> response(size);
	EXPECT_EQ(receive(response), TSS2_RC_SUCCESS);
	EXPECT_EQ(response.size(), RESPONSE_BYTES);
}

TEST_F(Tcti, can_be_asked_again_and_again)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	TSS2_RC code = TSS2_TCTI_RC_TRY_AGAIN;
	while (code == TSS2_TCTI_RC_TRY_AGAIN) code = receive(response, TSS2_TCTI_TIMEOUT_NONE);
	EXPECT_EQ(code, TSS2_RC_SUCCESS);
	EXPECT_EQ(response.size(), RESPONSE_BYTES);
}

TEST_F(Tcti, has_descriptors_to_poll)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	size_t count = 0;
	ASSERT_EQ(Tss2_Tcti_GetPollHandles(tcti, nullptr, &count), TSS2_RC_SUCCESS);
	std::vector<TSS2_TCTI_POLL_HANDLE> handles(count);
	count = 0;
	EXPECT_EQ(
		Tss2_Tcti_GetPollHandles(tcti, handles.data(), &count), TSS2_TCTI_RC_INSUFFICIENT_BUFFER);
	ASSERT_EQ(count, handles.size());
	ASSERT_EQ(Tss2_Tcti_GetPollHandles(tcti, handles.data(), &count), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	while (receive(response, TSS2_TCTI_TIMEOUT_NONE) == TSS2_TCTI_RC_TRY_AGAIN)
		ASSERT_GT(poll(handles.data(), handles.size(), 60'000), 0);
	EXPECT_EQ(response.size(), RESPONSE_BYTES);
}

TEST_F(Tcti, keeps_the_order_of_calls)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	EXPECT_EQ(receive(response), TSS2_TCTI_RC_BAD_SEQUENCE);
	EXPECT_EQ(Tss2_Tcti_Cancel(tcti), TSS2_TCTI_RC_BAD_SEQUENCE);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	EXPECT_EQ(transmit(), TSS2_TCTI_RC_BAD_SEQUENCE);
	EXPECT_EQ(Tss2_Tcti_SetLocality(tcti, 1), TSS2_TCTI_RC_BAD_SEQUENCE);
	EXPECT_EQ(Tss2_Tcti_Cancel(tcti), TSS2_RC_SUCCESS);
	EXPECT_EQ(receive(response), TSS2_RC_SUCCESS); // the response or TPM_RC_CANCELED
}

TEST_F(Tcti, checks_its_arguments)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	EXPECT_EQ(Tss2_Tcti_Transmit(tcti, 12, nullptr), TSS2_TCTI_RC_BAD_REFERENCE);
	EXPECT_EQ(Tss2_Tcti_Transmit(tcti, 9, GET_RANDOM.data()), TSS2_TCTI_RC_BAD_VALUE);
	EXPECT_EQ(Tss2_Tcti_Transmit(tcti, 11, GET_RANDOM.data()), TSS2_TCTI_RC_BAD_VALUE);
	EXPECT_EQ(Tss2_Tcti_Receive(tcti, nullptr, nullptr, 0), TSS2_TCTI_RC_BAD_REFERENCE);
	size_t size = 0;
	EXPECT_EQ(Tss2_Tcti_Receive(tcti, &size, nullptr, -2), TSS2_TCTI_RC_BAD_VALUE);
	EXPECT_EQ(Tss2_Tcti_SetLocality(tcti, 5), TSS2_TCTI_RC_BAD_VALUE);
	TPM2_HANDLE handle = 0;
	EXPECT_EQ(Tss2_Tcti_MakeSticky(tcti, &handle, 1), TSS2_TCTI_RC_NOT_IMPLEMENTED);
	EXPECT_EQ(info->init(nullptr, nullptr, ""), TSS2_TCTI_RC_BAD_VALUE);
	size = 1;
	EXPECT_EQ(info->init(tcti, &size, ""), TSS2_TCTI_RC_INSUFFICIENT_BUFFER);
}

TEST_F(Tcti, uses_a_locality)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	ASSERT_EQ(Tss2_Tcti_SetLocality(tcti, 2), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	EXPECT_EQ(receive(response), TSS2_RC_SUCCESS);
}

TEST_F(Tcti, refuses_a_locality_that_it_cannot_have)
{
	ASSERT_EQ(init("sim:" + swtpm.data_socket()), TSS2_RC_SUCCESS);
	EXPECT_EQ(Tss2_Tcti_SetLocality(tcti, 2), TSS2_TCTI_RC_NOT_IMPLEMENTED);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	EXPECT_EQ(receive(response), TSS2_RC_SUCCESS);
}

TEST_F(Tcti, tells_errors_apart)
{
	EXPECT_EQ(init("sim:/nonexistent"), TSS2_TCTI_RC_NO_CONNECTION);
	EXPECT_EQ(init(name() + ",select=1"), TSS2_TCTI_RC_NO_CONNECTION);
	EXPECT_EQ(init("spidev:/dev/null"), TSS2_TCTI_RC_NOT_SUPPORTED);
	EXPECT_EQ(init("device:/dev/tpm0"), TSS2_TCTI_RC_BAD_VALUE);
	EXPECT_EQ(init(""), TSS2_TCTI_RC_BAD_VALUE);
	EXPECT_EQ(tcti, nullptr);
}

TEST_F(Tcti, survives_the_end_of_the_tpm)
{
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	swtpm.kill();
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	EXPECT_EQ(receive(response), TSS2_TCTI_RC_IO_ERROR);
	EXPECT_EQ(receive(response), TSS2_TCTI_RC_BAD_SEQUENCE);
}

TEST_F(Tcti, has_contexts_that_do_not_know_of_each_other)
{
	sim::Swtpm_process other;
	ASSERT_TRUE(other.start().ok()) << other.message();
	ASSERT_EQ(init(name()), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint64_t> const first = std::move(memory);
	TSS2_TCTI_CONTEXT *const first_tcti = std::exchange(tcti, nullptr);
	ASSERT_EQ(init("sim:" + other.data_socket()), TSS2_RC_SUCCESS);
	ASSERT_EQ(transmit(), TSS2_RC_SUCCESS);
	std::vector<uint8_t> response(4096);
	EXPECT_EQ(receive(response), TSS2_RC_SUCCESS);
	size_t size = 4096;
	response.resize(size);
	EXPECT_EQ(Tss2_Tcti_Receive(first_tcti, &size, response.data(), TSS2_TCTI_TIMEOUT_BLOCK),
		TSS2_RC_SUCCESS);
	EXPECT_EQ(size, RESPONSE_BYTES);
	Tss2_Tcti_Finalize(first_tcti);
}

TEST_F(Tcti, serves_a_context_in_each_thread)
{
	sim::Swtpm_process other;
	ASSERT_TRUE(other.start().ok()) << other.message();
	auto const use = [this](std::string const &configuration) {
		size_t size = 0;
		ASSERT_EQ(info->init(nullptr, &size, nullptr), TSS2_RC_SUCCESS);
		std::vector<uint64_t> blob((size + 7) / 8);
		auto *const context = reinterpret_cast<TSS2_TCTI_CONTEXT *>(blob.data());
		ASSERT_EQ(info->init(context, &size, configuration.c_str()), TSS2_RC_SUCCESS);
		for (unsigned i = 0; i < 100; ++i) {
			std::array<uint8_t, 4096> response{};
			size = response.size();
			ASSERT_EQ(
				Tss2_Tcti_Transmit(context, GET_RANDOM.size(), GET_RANDOM.data()), TSS2_RC_SUCCESS);
			ASSERT_EQ(Tss2_Tcti_Receive(context, &size, response.data(), TSS2_TCTI_TIMEOUT_BLOCK),
				TSS2_RC_SUCCESS);
			ASSERT_EQ(size, RESPONSE_BYTES);
		}
		Tss2_Tcti_Finalize(context);
	};
	std::thread first(use, name());
	std::thread second(use, "sim:" + other.data_socket());
	first.join();
	second.join();
}

} // namespace
} // namespace bulkhead
