// A peer that writes anything anywhere in the shared memory, at any time, and rings as it likes.
// The honest side runs under sanitizers in CI: no fault, nothing out of bounds, a clear error.

#include "platform/linux/vchan/connection.h"
#include "vchan/explain/meaning.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace bulkhead::linux_host {
namespace {

using vchan::Error;

/* How the shared memory is spoilt: everything, or what gets past the first check. */
enum class Malice { ANYWHERE, WORDS, NEARLY_RIGHT };

[[noreturn]] void scribble(
	Channel_end end, Malice malice, unsigned seed, std::atomic<unsigned> &progress)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	std::minstd_rand random(seed);
	auto memory = Sealed_memory::map(end.memory.value());
	if (!memory.ok()) _exit(1);
	std::span<std::byte> const all = memory.value().bytes();
	auto *const words = reinterpret_cast<std::atomic<uint32_t> *>(all.data());
	while (true) {
		for (unsigned i = 0; i < 64; ++i) {
			auto const value = static_cast<uint32_t>(random() * 2654435761u);
			size_t const all_words = all.size() / sizeof(uint32_t);
			size_t const control_words = sizeof(vchan::Control) / sizeof(uint32_t);
			size_t const word = random() % (malice == Malice::ANYWHERE ? all_words : control_words);
			uint32_t const old = words[word].load(std::memory_order_relaxed);
			uint32_t const near = random() % 2 ? old + random() % 64 : old ^ 1U << random() % 8;
			words[word].store(
				malice == Malice::NEARLY_RIGHT ? near : value, std::memory_order_relaxed);
		}
		end.bell.ring();
		++progress;
	}
}

/* Uses the channel in every way until it ends or has been spoilt often enough. */
std::set<Error> use(Connection &connection, unsigned seed, std::atomic<unsigned> const &progress)
{
	std::minstd_rand random(seed);
	vchan::Endpoint &end = *connection.endpoint();
	std::set<Error> said;
	std::vector<uint8_t> buffer(9000, 0x5a);
	auto const note = [&](auto const &result) {
		if (!result.ok()) said.insert(result.error());
	};
	while (progress < 100 && !end.fault()) {
		size_t const size = random() % buffer.size();
		Mutable_bytes const view = Mutable_bytes(buffer).first(size);
		switch (random() % 8) {
		case 0: note(end.try_read(view)); break;
		case 1: note(end.try_write(view)); break;
		case 2: note(end.try_send(view)); break;
		case 3: note(end.try_receive(view)); break;
		case 4:
			if (auto const room = end.reserve(size); room.ok()) {
				memset(room.value().first.data(), 1, room.value().first.size());
				memset(room.value().second.data(), 2, room.value().second.size());
				end.commit_written(room.value().size());
			}
			break;
		case 5:
			if (auto const there = end.peek(size); there.ok()) {
				unsigned sum = 0;
				for (uint8_t const byte : there.value().first) sum += byte;
				for (uint8_t const byte : there.value().second) sum += byte;
				end.commit_read(sum % (there.value().size() + 1));
			}
			break;
		case 6:
			end.arm(vchan::sleep_for::ANY);
			EXPECT_TRUE(connection.look().ok());
			break;
		default: (void)end.state();
		}
	}
	return said;
}

class Hostile_test : public testing::TestWithParam<Malice>
{};

TEST_P(Hostile_test, a_peer_that_scribbles_harms_only_itself)
{
	unsigned const seed = std::random_device{}();
	std::set<Error> said;
	unsigned broken = 0;
	void *const page =
		mmap(nullptr, sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	auto &progress = *new (page) std::atomic<unsigned>(0);
	constexpr unsigned ROUNDS = 200;
	for (unsigned i = 0; i < ROUNDS; ++i) {
		SCOPED_TRACE("round " + std::to_string(i) + " of seed " + std::to_string(seed));
		auto ends = make_channel({4096, 512});
		ASSERT_TRUE(ends.ok());
		Connection honest;
		bool const server = i % 2 == 0;
		Channel_end &ours = server ? ends.value().server : ends.value().client;
		Channel_end &theirs = server ? ends.value().client : ends.value().server;
		ASSERT_TRUE(honest.adopt(std::move(ours)).ok()) << honest.message();
		progress = 0;
		pid_t const child = fork();
		if (child == 0) scribble(std::move(theirs), GetParam(), seed + i, progress);
		theirs = Channel_end{};
		std::set<Error> const now = use(honest, seed + i, progress);
		said.insert(now.begin(), now.end());
		broken += honest.endpoint()->fault().has_value();
		kill(child, SIGKILL);
		waitpid(child, nullptr, 0);
		// The end comes however it was before.
		while (honest.endpoint()->state() < vchan::State::CLOSED) ASSERT_TRUE(honest.wait().ok());
	}
	munmap(page, sizeof(unsigned));
	EXPECT_GT(broken, 0u);
	for (Error const error : said)
		EXPECT_TRUE(error >= Error::PEER_PRODUCED_TOO_MUCH || error == Error::WOULD_BLOCK ||
			error == Error::TOO_LONG || error == Error::PEER_CLOSED)
			<< vchan::name_of(error);
}

INSTANTIATE_TEST_SUITE_P(Malices, Hostile_test,
	testing::Values(Malice::ANYWHERE, Malice::WORDS, Malice::NEARLY_RIGHT), [](auto const &malice) {
		return malice.param == Malice::ANYWHERE ? "anywhere"
			: malice.param == Malice::WORDS     ? "words"
												: "nearly_right";
	});

} // namespace
} // namespace bulkhead::linux_host
