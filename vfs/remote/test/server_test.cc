// A server and clients that send whatever they like.

#include "vfs/remote/request_check.h"
#include "vfs/remote/test/requests.h"
#include "vfs/remote/test/world.h"

#include <cerrno>
#include <gtest/gtest.h>

namespace bulkhead::remote {
namespace {

class Remote_server : public testing::Test
{
protected:
	Served_tree tree{};

	/* What the server answers to a request; its errno, as a positive number. */
	static int answer(Served &served, Bytes request)
	{
		send(served, request);
		Byte_queue &queue = served.queues.down;
		fuse_out_header out{};
		if (queue.filled() < sizeof out) return -1;
		take(queue, {reinterpret_cast<uint8_t *>(&out), sizeof out});
		queue.consumed += out.len - sizeof out;
		return -out.error;
	}

	static void take(Byte_queue &queue, Mutable_bytes to)
	{
		for (uint8_t &byte : to) byte = queue.ring[queue.consumed++ % queue.ring.size()];
		queue.changed.raise_all();
	}

	static void send(Served &served, Bytes request)
	{
		served.queues.client.peek_max = SIZE_MAX;
		for (uint8_t const byte : request)
			served.queues.up.ring[served.queues.up.produced++ % served.queues.up.ring.size()] =
				byte;
		served.queues.up.changed.raise_all();
		served.serving.job().executor.run_ready();
	}

	void greet(Served &served) { ASSERT_EQ(answer(served, init_request()), 0); }

	void finish(Served &served)
	{
		served.queues.end();
		while (!served.serving.done()) ASSERT_TRUE(tree.executor.run_one());
		EXPECT_EQ(served.server.open_files(), 0u);
		EXPECT_EQ(served.server.pending(), 0u);
		EXPECT_EQ(tree.mailbox.opened, tree.mailbox.closed);
	}
};

TEST_F(Remote_server, wants_to_be_greeted_first)
{
	Served served(tree, tree.root());
	EXPECT_EQ(answer(served, request(FUSE_STATFS, 1)), EIO);
	greet(served);
	EXPECT_EQ(answer(served, request(FUSE_STATFS, 1)), 0);
	EXPECT_EQ(answer(served, init_request()), EIO);
	finish(served);
}

TEST_F(Remote_server, speaks_no_version_that_it_doesnt_know)
{
	Served served(tree, tree.root());
	EXPECT_EQ(answer(served, init_request(7, 30)), EPROTO);
	EXPECT_EQ(answer(served, init_request(8, 0)), EPROTO);
	greet(served);
	finish(served);
}

TEST_F(Remote_server, answers_every_kind_of_request_of_every_length)
{
	Served served(tree, tree.root());
	greet(served);
	for (uint32_t opcode = 0; opcode < 64; ++opcode) {
		if (opcode == FUSE_DESTROY) continue;
		for (size_t size = 0; size < 140; ++size) {
			std::vector<uint8_t> const ones(size, 1);
			int const result = answer(served, request(opcode, 1, ones));
			EXPECT_EQ(result == -1, unanswered(opcode)) << opcode << ' ' << size;
		}
	}
	EXPECT_FALSE(served.serving.done());
	finish(served);
}

TEST_F(Remote_server, refuses_names_without_end)
{
	Served served(tree, tree.root());
	greet(served);
	EXPECT_EQ(answer(served, request(FUSE_LOOKUP, 1, bytes_of("ram"))), EINVAL);
	EXPECT_EQ(answer(served, request(FUSE_LOOKUP, 1, bytes_of({"ram", 4}))), 0);
	EXPECT_EQ(answer(served, request(FUSE_SYMLINK, 1, bytes_of({"ram\0target", 10}))), EINVAL);
	EXPECT_EQ(
		answer(served, request(FUSE_RENAME, 1, bytes_of({"\1\0\0\0\0\0\0\0a\0b", 11}))), EINVAL);
	finish(served);
}

TEST_F(Remote_server, believes_no_size_in_a_request)
{
	Served served(tree, tree.root());
	greet(served);
	fuse_write_in write{};
	write.size = 1000;
	EXPECT_EQ(answer(served, request(FUSE_WRITE, 1, object(write))), EINVAL);
	fuse_ioctl_in ioctl{};
	ioctl.in_size = 100;
	EXPECT_EQ(answer(served, request(FUSE_IOCTL, 1, object(ioctl))), EINVAL);
	ioctl.in_size = 0;
	ioctl.out_size = 1 << 30;
	EXPECT_EQ(answer(served, request(FUSE_IOCTL, 1, object(ioctl))), EINVAL);
	fuse_batch_forget_in const forget{.count = 1 << 20, .dummy = 0};
	EXPECT_EQ(answer(served, request(FUSE_BATCH_FORGET, 1, object(forget))), -1);
	EXPECT_FALSE(served.serving.done());
	finish(served);
}

TEST_F(Remote_server, knows_no_node_or_handle_of_another_server)
{
	Served served(tree, tree.root());
	greet(served);
	fuse_getattr_in const getattr{};
	fuse_read_in read{};
	for (uint64_t const number : {uint64_t{0}, uint64_t{2}, uint64_t{3}, ~uint64_t{0}}) {
		EXPECT_EQ(answer(served, request(FUSE_GETATTR, number, object(getattr))), ESTALE);
		read.fh = number;
		EXPECT_EQ(answer(served, request(FUSE_READ, 1, object(read))), ESTALE);
	}
	EXPECT_EQ(answer(served, request(FUSE_GETATTR, 1, object(getattr))), 0);
	finish(served);
}

TEST_F(Remote_server, ends_with_a_client_whose_lengths_make_no_sense)
{
	for (uint32_t const length : {0u, 39u, 1u << 20, ~0u}) {
		Served served(tree, tree.root());
		greet(served);
		auto bytes = request(FUSE_STATFS, 1);
		std::memcpy(bytes.data(), &length, sizeof length);
		send(served, bytes);
		while (!served.serving.done()) ASSERT_TRUE(tree.executor.run_one());
		EXPECT_EQ(served.serving.result().error(), Error::IO);
	}
}

TEST_F(Remote_server, ends_with_a_client_that_calls_two_requests_the_same)
{
	Served served(tree, tree.root());
	greet(served);
	auto twice = request(FUSE_STATFS, 1);
	auto const second = twice;
	twice.insert(twice.end(), second.begin(), second.end());
	send(served, twice);
	ASSERT_TRUE(served.serving.done());
	EXPECT_EQ(served.serving.result().error(), Error::IO);
}

TEST_F(Remote_server, ignores_interrupts_of_nothing_and_storms_of_them)
{
	Served served(tree, tree.root());
	greet(served);
	for (uint64_t i = 0; i < 10'000; ++i) {
		fuse_interrupt_in const interrupt{.unique = i};
		send(served, request(FUSE_INTERRUPT, 0, object(interrupt)));
	}
	EXPECT_EQ(answer(served, request(FUSE_STATFS, 1)), 0);
	finish(served);
}

TEST_F(Remote_server, forgets_nothing_that_it_needs)
{
	Served served(tree, tree.root());
	greet(served);
	fuse_forget_in const all{.nlookup = ~uint64_t{0}};
	for (uint64_t i = 0; i < 10'000; ++i) send(served, request(FUSE_FORGET, i, object(all)));
	EXPECT_EQ(answer(served, request(FUSE_LOOKUP, 1, bytes_of({"ram", 4}))), 0);
	finish(served);
}

TEST_F(Remote_server, stops_reading_from_a_client_that_takes_no_answers)
{
	Served served(tree, tree.root(), 16 * 1024);
	Connected other(tree);
	greet(served);
	size_t sent = 0;
	// As many as the server takes; each answer is longer than its request.
	while (served.queues.up.room() >= sizeof(fuse_in_header))
		send(served, request(FUSE_STATFS, 1, {}, 2 * ++sent));
	EXPECT_LT(sent, 2 * 16 * 1024 / sizeof(fuse_in_header));
	EXPECT_TRUE(other.wait(other.client.stat(other.job, "ram")).ok());
	// Then it goes on.
	size_t answers = 0;
	while (answers < sent) {
		while (served.queues.down.filled() >= sizeof(fuse_out_header)) {
			fuse_out_header out{};
			take(served.queues.down, {reinterpret_cast<uint8_t *>(&out), sizeof out});
			while (served.queues.down.filled() < out.len - sizeof out) {
				bool const on = tree.executor.run_one();
				ASSERT_TRUE(on);
			}
			served.queues.down.consumed += out.len - sizeof out;
			served.queues.down.changed.raise_all();
			++answers;
		}
		bool const on = answers == sent || tree.executor.run_one();
		ASSERT_TRUE(on);
	}
	finish(served);
}

TEST_F(Remote_server, closes_what_a_client_leaves_open_and_has_wait)
{
	auto connected = std::make_unique<Connected>(tree);
	Client &client = connected->client;
	std::vector<std::unique_ptr<Running>> readers;
	struct Read
	{
		static Task<void> mail(Job &job, Client &from)
		{
			CO_TRY_ASSIGN(Remote_file const file, co_await from.open(job, "mailbox", {}));
			uint8_t byte[1];
			CO_TRY(co_await from.read(job, file, byte, 0));
			co_return Ok{};
		}
	};
	for (unsigned i = 0; i < 50; ++i) {
		readers.push_back(std::make_unique<Running>(tree.executor));
		readers.back()->start(Read::mail(readers.back()->job(), client));
	}
	tree.executor.run_ready();
	EXPECT_EQ(connected->server.open_files(), 50u);
	EXPECT_EQ(connected->server.pending(), 50u);
	connected->queues.end();
	while (!connected->serving.done()) ASSERT_TRUE(tree.executor.run_one());
	EXPECT_EQ(connected->server.open_files(), 0u);
	EXPECT_EQ(tree.mailbox.opened, 50u);
	EXPECT_EQ(tree.mailbox.closed, 50u);
	readers.clear();
}

TEST_F(Remote_server, keeps_to_its_limits)
{
	Served served(tree, tree.root(), 64 * 1024, {.operations = 2, .nodes = 2, .handles = 1});
	greet(served);
	EXPECT_EQ(answer(served, request(FUSE_LOOKUP, 1, bytes_of({"ram", 4}))), 0);
	EXPECT_EQ(answer(served, request(FUSE_LOOKUP, 1, bytes_of({"mailbox", 8}))), EMFILE);
	fuse_open_in const open{.flags = 0, .open_flags = 0};
	EXPECT_EQ(answer(served, request(FUSE_OPENDIR, 1, object(open))), 0);
	EXPECT_EQ(answer(served, request(FUSE_OPENDIR, 1, object(open))), EMFILE);
	finish(served);
}

TEST_F(Remote_server, does_the_same_however_the_bytes_come)
{
	for (size_t const piece : {1, 3, 40, 41, 1000}) {
		Connected to(tree, 4 * 1024);
		to.queues.server.peek_max = piece;
		to.queues.client.peek_max = piece;
		ASSERT_TRUE(to.wait(to.client.create(to.job, "ram/x", {})).ok());
		Remote_file const file =
			to.wait(to.client.open(to.job, "ram/x", {.read = true, .write = true})).value();
		std::vector<uint8_t> const out(10'000, 'o');
		std::vector<uint8_t> in(10'000);
		EXPECT_EQ(to.wait(to.client.write(to.job, file, out, 0)).value(), out.size());
		EXPECT_EQ(to.wait(to.client.read(to.job, file, in, 0)).value(), in.size());
		EXPECT_EQ(in, out);
		EXPECT_TRUE(to.wait(to.client.close(to.job, file)).ok());
		EXPECT_TRUE(to.wait(to.client.remove(to.job, "ram/x", false)).ok());
	}
}

} // namespace
} // namespace bulkhead::remote
