#include "vfs/remote/test/world.h"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace bulkhead::remote {
namespace {

/* Keeps what it is told. */
class Names final : public vfs::Entry_sink
{
public:
	std::set<std::string> names{};
	size_t most = SIZE_MAX;

	bool entry(std::string_view name, vfs::Type, uint64_t, uint64_t) override
	{
		if (names.size() == most) return false;
		names.emplace(name);
		return true;
	}
};

constexpr vfs::Access WRITE{.read = true, .write = true};

class Remote_client : public testing::Test
{
protected:
	Served_tree tree{};
	Connected to{tree};

	void make(std::string_view path, std::string_view text)
	{
		ASSERT_TRUE(to.wait(to.client.create(to.job, path, {.mode = 0644})).ok());
		Remote_file const file = to.wait(to.client.open(to.job, path, WRITE)).value();
		ASSERT_EQ(to.wait(to.client.write(to.job, file, bytes_of(text), 0)).value(), text.size());
		ASSERT_TRUE(to.wait(to.client.close(to.job, file)).ok());
	}

	Attempt<std::string> text_at(std::string_view path)
	{
		auto const file = to.wait(to.client.open(to.job, path, {}));
		if (!file.ok()) return file.error();
		uint8_t bytes[100];
		auto const size = to.wait(to.client.read(to.job, file.value(), bytes, 0));
		EXPECT_TRUE(to.wait(to.client.close(to.job, file.value())).ok());
		if (!size.ok()) return size.error();
		return std::string(text_of(Bytes(bytes).first(size.value())));
	}
};

TEST_F(Remote_client, reads_what_it_has_written)
{
	make("ram/a", "hello");
	EXPECT_EQ(text_at("/ram/a").value(), "hello");
	EXPECT_EQ(to.wait(to.client.stat(to.job, "ram/a")).value().size, 5u);
	EXPECT_EQ(to.wait(to.client.stat(to.job, "")).value().type, vfs::Type::DIRECTORY);
}

TEST_F(Remote_client, lists_makes_renames_changes_and_removes)
{
	make("ram/a", "x");
	ASSERT_TRUE(
		to.wait(to.client.create(to.job, "ram/d", {.type = vfs::Type::DIRECTORY, .mode = 0755}))
			.ok());
	vfs::New_node const link{.type = vfs::Type::SYMLINK, .target = "a"};
	ASSERT_TRUE(to.wait(to.client.create(to.job, "ram/l", link)).ok());
	Names names;
	ASSERT_TRUE(to.wait(to.client.list(to.job, "ram", names)).ok());
	EXPECT_EQ(names.names, (std::set<std::string>{"a", "d", "l"}));
	ASSERT_TRUE(to.wait(to.client.rename(to.job, "ram/a", "ram/d/b")).ok());
	ASSERT_TRUE(to.wait(to.client.change(to.job, "ram/d/b", {.size = 3})).ok());
	EXPECT_EQ(to.wait(to.client.stat(to.job, "ram/d/b")).value().size, 3u);
	EXPECT_EQ(to.wait(to.client.remove(to.job, "ram/d", true)).error(), Error::NOT_EMPTY);
	ASSERT_TRUE(to.wait(to.client.remove(to.job, "ram/d/b", false)).ok());
	ASSERT_TRUE(to.wait(to.client.remove(to.job, "ram/d", true)).ok());
	EXPECT_EQ(to.wait(to.client.stat(to.job, "ram/d")).error(), Error::NOT_FOUND);
}

TEST_F(Remote_client, lists_a_large_directory_as_far_as_is_wanted)
{
	for (unsigned i = 0; i < 200; ++i)
		ASSERT_TRUE(
			to.wait(
				  to.client.create(to.job, "ram/" + std::to_string(i) + std::string(150, 'n'), {}))
				.ok());
	Names all;
	ASSERT_TRUE(to.wait(to.client.list(to.job, "ram", all)).ok());
	EXPECT_EQ(all.names.size(), 200u);
	Names some;
	some.most = 7;
	ASSERT_TRUE(to.wait(to.client.list(to.job, "ram", some)).ok());
	EXPECT_EQ(some.names.size(), 7u);
}

TEST_F(Remote_client, hears_the_errors_of_the_server)
{
	EXPECT_EQ(text_at("nothing").error(), Error::NOT_FOUND);
	EXPECT_EQ(text_at("mailbox/x").error(), Error::NOT_A_DIRECTORY);
	EXPECT_EQ(text_at("ram/../mailbox").error(), Error::INVALID);
	EXPECT_EQ(to.wait(to.client.stat(to.job, std::string(300, 'x'))).error(), Error::TOO_LONG);
	uint8_t byte[1];
	Remote_file const invented{.node = 77, .handle = 78};
	EXPECT_EQ(to.wait(to.client.read(to.job, invented, byte, 0)).error(), Error::GONE);
}

TEST_F(Remote_client, leaves_nothing_open_and_no_node_known)
{
	make("ram/a", "hello");
	for (unsigned i = 0; i < 1000; ++i) ASSERT_EQ(text_at("ram/a").value(), "hello");
	EXPECT_EQ(to.server.open_files(), 0u);
	EXPECT_EQ(to.server.pending(), 0u);
}

TEST_F(Remote_client, moves_more_than_the_stream_holds)
{
	Connected narrow(tree, 8 * 1024);
	ASSERT_TRUE(narrow.wait(narrow.client.create(narrow.job, "ram/big", {})).ok());
	Remote_file const file = narrow.wait(narrow.client.open(narrow.job, "ram/big", WRITE)).value();
	std::vector<uint8_t> out(100'000), in(100'000);
	for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(i * 7);
	EXPECT_EQ(narrow.wait(narrow.client.write(narrow.job, file, out, 0)).value(), out.size());
	EXPECT_EQ(narrow.wait(narrow.client.read(narrow.job, file, in, 0)).value(), in.size());
	EXPECT_EQ(in, out);
}

/* Opens the mailbox and waits for a byte. */
Task<void> read_mail(Job &job, Client &client, unsigned &read)
{
	CO_TRY_ASSIGN(Remote_file const file, co_await client.open(job, "mailbox", {}));
	uint8_t byte[1];
	Attempt<size_t> const size = co_await client.read(job, file, byte, 0);
	if (size.ok()) ++read;
	(void)co_await client.close(job, file);
	CO_TRY(size);
	co_return Ok{};
}

TEST_F(Remote_client, waits_with_many_requests_while_others_go_on)
{
	unsigned read = 0;
	std::vector<std::unique_ptr<Running>> readers;
	for (unsigned i = 0; i < 100; ++i) {
		readers.push_back(std::make_unique<Running>(tree.executor));
		readers.back()->start(read_mail(readers.back()->job(), to.client, read));
	}
	tree.executor.run_ready();
	EXPECT_EQ(to.server.pending(), 100u);
	make("ram/a", "meanwhile");
	EXPECT_EQ(text_at("ram/a").value(), "meanwhile");
	Remote_file const file = to.wait(to.client.open(to.job, "mailbox", WRITE)).value();
	ASSERT_TRUE(to.wait(to.client.write(to.job, file, bytes_of(std::string(100, '!')), 0)).ok());
	while (read < 100) ASSERT_TRUE(tree.executor.run_one());
	ASSERT_TRUE(to.wait(to.client.close(to.job, file)).ok());
	while (to.server.open_files()) ASSERT_TRUE(tree.executor.run_one());
}

TEST_F(Remote_client, has_the_server_give_up_what_is_cancelled)
{
	unsigned read = 0;
	Running cancelled(tree.executor), dropped(tree.executor);
	cancelled.start(read_mail(cancelled.job(), to.client, read));
	dropped.start(read_mail(dropped.job(), to.client, read));
	tree.executor.run_ready();
	EXPECT_EQ(to.server.pending(), 2u);
	cancelled.job().cancel();
	tree.executor.run_ready();
	ASSERT_TRUE(cancelled.done());
	EXPECT_EQ(cancelled.result().error(), Error::CANCELLED);
	EXPECT_EQ(to.server.pending(), 1u);
	dropped.drop();
	tree.executor.run_ready();
	EXPECT_EQ(to.server.pending(), 0u);
	EXPECT_EQ(read, 0u);
}

TEST_F(Remote_client, leaves_many_directories_at_once)
{
	std::vector<std::unique_ptr<Running>> users;
	std::vector<Names> names(50);
	for (Names &each : names) {
		users.push_back(std::make_unique<Running>(tree.executor));
		users.back()->start(to.client.list(users.back()->job(), "", each));
	}
	tree.executor.run_ready();
	for (auto const &user : users) EXPECT_TRUE(user->done() && user->result().ok());
	for (Names const &each : names) EXPECT_EQ(each.names.size(), 2u);
	EXPECT_EQ(to.server.open_files(), 0u);
	EXPECT_EQ(text_at("nothing").error(), Error::NOT_FOUND);
}

TEST_F(Remote_client, fails_what_waits_when_the_server_ends)
{
	unsigned read = 0;
	Running reader(tree.executor);
	reader.start(read_mail(reader.job(), to.client, read));
	tree.executor.run_ready();
	to.queues.end();
	tree.executor.run_ready();
	ASSERT_TRUE(reader.done());
	EXPECT_EQ(reader.result().error(), Error::BROKEN_PIPE);
	EXPECT_EQ(text_at("ram").error(), Error::BROKEN_PIPE);
	EXPECT_TRUE(to.answers.result().ok());
	EXPECT_EQ(tree.mailbox.opened, tree.mailbox.closed);
}

} // namespace
} // namespace bulkhead::remote
