// The policy as its files change: however they change, the former decides until the new one does.

#include "component/qrexec/policy_daemon/test/world.h"

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace bulkhead::qrexec::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr char const *ONE = "svc.One * work vault allow\n";
constexpr char const *TWO = "svc.One * work vault allow\nsvc.Two * work vault allow\n";

class Policy_daemon_reload : public World
{
protected:
	Policy_daemon_reload() { write("policy/30-user.policy", ONE); }

	void started()
	{
		start();
		journal("loaded, 1 rules");
		EXPECT_EQ(answer("svc.One"), ALLOWED);
		EXPECT_EQ(answer("svc.Two"), DENIED);
	}

	void expect_two()
	{
		journal("loaded, 2 rules");
		EXPECT_EQ(answer("svc.Two"), ALLOWED);
	}
};

TEST_F(Policy_daemon_reload, notices_a_file_that_is_written_in_place)
{
	started();
	write("policy/30-user.policy", TWO);
	expect_two();
}

TEST_F(Policy_daemon_reload, notices_a_file_that_is_replaced)
{
	started();
	replace("policy/30-user.policy", TWO);
	expect_two();
}

TEST_F(Policy_daemon_reload, notices_a_file_that_comes_and_goes)
{
	started();
	write("policy/40-more.policy", "svc.Two * work vault allow\n");
	expect_two();
	fs::remove(folder / "policy/40-more.policy");
	journal("loaded, 1 rules");
	EXPECT_EQ(answer("svc.Two"), DENIED);
}

TEST_F(Policy_daemon_reload, notices_a_file_that_is_renamed)
{
	write("policy/40-more", "svc.Two * work vault allow\n");
	started();
	fs::rename(folder / "policy/40-more", folder / "policy/40-more.policy");
	expect_two();
	fs::rename(folder / "policy/40-more.policy", folder / "policy/off");
	journal("loaded, 1 rules");
}

TEST_F(Policy_daemon_reload, notices_links_and_what_they_lead_to)
{
	fs::create_directory(folder / "elsewhere");
	write("elsewhere/target", "svc.Two * work vault allow\n");
	write("elsewhere/other", "svc.Two * work vault allow\nsvc.Three * work vault allow\n");
	started();
	fs::create_symlink(folder / "elsewhere/target", folder / "policy/40-more.policy");
	expect_two();
	fs::rename(folder / "elsewhere/other", folder / "elsewhere/target");
	journal("loaded, 3 rules");
	fs::remove(folder / "policy/40-more.policy");
	journal("loaded, 1 rules");
	fs::create_hard_link(folder / "elsewhere/target", folder / "policy/40-more.policy");
	journal("loaded, 3 rules");
}

TEST_F(Policy_daemon_reload, notices_an_included_file_that_changes_or_comes)
{
	fs::create_directory(folder / "policy/include");
	write("policy/include/more", "# nothing yet\n");
	write("policy/40-more.policy", "!include include/more\n");
	started();
	write("policy/include/more", "svc.Two * work vault allow\n");
	expect_two();
	fs::remove(folder / "policy/include/more");
	journal("everything is denied until mended");
	EXPECT_EQ(answer("svc.One"), DENIED);
	write("policy/include/more", "svc.Two * work vault allow\n");
	expect_two();
}

TEST_F(Policy_daemon_reload, notices_an_included_directory_that_comes_later)
{
	write("policy/40-more.policy", "!include-dir far/away\n");
	start();
	journal("everything is denied until mended");
	EXPECT_EQ(answer("svc.One"), DENIED);
	fs::create_directories(folder / "policy/far/away");
	journal("loaded, 1 rules");
	write("policy/far/away/50-two.policy", "svc.Two * work vault allow\n");
	expect_two();
}

TEST_F(Policy_daemon_reload, notices_files_of_the_old_format)
{
	write("policy/90-compat.policy", "!compat-4.0\n");
	started();
	write("compat/svc.Two", "work vault allow\n");
	expect_two();
}

TEST_F(Policy_daemon_reload, notices_a_policy_directory_that_comes_later_or_is_replaced)
{
	fs::rename(folder / "policy", folder / "later");
	options = {"--policy-path=" + path("a/b/policy")};
	start();
	journal("everything is denied until mended");
	EXPECT_EQ(answer("svc.One"), DENIED);
	fs::create_directories(folder / "a/b");
	fs::rename(folder / "later", folder / "a/b/policy");
	journal("loaded, 1 rules");
	EXPECT_EQ(answer("svc.One"), ALLOWED);
	// The directory above goes, with all that is in it, and another one comes.
	fs::create_directories(folder / "c/policy");
	write("c/policy/30-user.policy", TWO);
	fs::rename(folder / "a/b", folder / "a/old");
	journal("everything is denied until mended");
	fs::rename(folder / "c", folder / "a/b");
	expect_two();
}

TEST_F(Policy_daemon_reload, keeps_the_former_policy_while_a_file_is_being_written)
{
	started();
	std::string const file = path("policy/30-user.policy");
	int const writer = open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
	ASSERT_GE(writer, 0);
	// The daemon learns of this one at the same time, and must not read the other half-written.
	write("policy/40-more.policy", "svc.Three * work vault allow\n");
	EXPECT_EQ(answer("svc.One"), ALLOWED);
	ASSERT_GT(::write(writer, TWO, strlen(TWO)), 0);
	close(writer);
	std::vector<std::string> const lines = journal_until("loaded, 3 rules");
	for (std::string const &line : lines)
		EXPECT_THAT(line, ::testing::Not(HasSubstr("loaded, 1 ")));
	EXPECT_EQ(answer("svc.Two"), ALLOWED);
	EXPECT_EQ(answer("svc.Three"), ALLOWED);
}

TEST_F(Policy_daemon_reload, takes_a_file_as_it_is_that_stays_open)
{
	started();
	int const writer = open(path("policy/30-user.policy").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
	char const *const more = "svc.Two * work vault allow\n";
	ASSERT_GT(::write(writer, more, strlen(more)), 0);
	expect_two();
	close(writer);
}

TEST_F(Policy_daemon_reload, loads_anew_at_a_signal)
{
	started();
	// Written through memory, a file leaves no trace.
	write("policy/broken.policy", "x\n");
	journal("everything is denied until mended");
	signal(SIGHUP);
	EXPECT_EQ(answer("svc.One"), DENIED);
	fs::remove(folder / "policy/broken.policy");
	journal("loaded, 1 rules");
	signal(SIGHUP);
	EXPECT_EQ(answer("svc.One"), ALLOWED);
}

TEST_F(Policy_daemon_reload, denies_everything_after_a_fault_and_says_it_once)
{
	started();
	write("policy/20-broken.policy", "svc.One * work vault allow tagret=vault\nsvc.Two * work\n");
	std::vector<std::string> const lines = journal_until("everything is denied until mended");
	std::string const at = path("policy/20-broken.policy");
	ASSERT_GE(lines.size(), 3U);
	EXPECT_THAT(lines[lines.size() - 3], HasSubstr(at + ":1:"));
	EXPECT_THAT(lines[lines.size() - 3], HasSubstr("target"));
	EXPECT_THAT(lines[lines.size() - 2], HasSubstr(at + ":2:"));
	EXPECT_EQ(answer("svc.One"), DENIED);
	EXPECT_EQ(
		journal("qrexec: "), "qrexec: svc.One: work -> vault: error loading policy: " + at + ":1");
	// Another file changes; the fault is known.
	write("policy/40-more.policy", "svc.Two * work vault allow\n");
	signal(SIGHUP);
	EXPECT_EQ(answer("svc.One"), DENIED);
	EXPECT_EQ(journal_until("qrexec: ").size(), 1U);
	fs::remove(folder / "policy/20-broken.policy");
	expect_two();
}

TEST_F(Policy_daemon_reload, denies_everything_after_a_bad_file_name)
{
	started();
	write("policy/40 more.policy", "");
	journal("everything is denied until mended");
	EXPECT_EQ(answer("svc.One"), DENIED);
	fs::remove(folder / "policy/40 more.policy");
	journal("loaded, 1 rules");
	EXPECT_EQ(answer("svc.One"), ALLOWED);
}

TEST_F(Policy_daemon_reload, lets_the_earlier_directory_count)
{
	fs::create_directory(folder / "run");
	options = {"--policy-path=" + path("policy")};
	// World names the folder's policy first, so that `run` comes third and `policy` is seen first.
	options.push_back("--policy-path=" + path("run"));
	write("run/30-user.policy", "svc.Two * work vault allow\n");
	write("run/40-user.policy", "svc.Three * work vault allow\n");
	start();
	EXPECT_EQ(answer("svc.One"), ALLOWED);
	EXPECT_EQ(answer("svc.Two"), DENIED);
	EXPECT_EQ(answer("svc.Three"), ALLOWED);
}

TEST_F(Policy_daemon_reload, never_decides_by_half_a_policy)
{
	// Each of the two policies allows exactly one of two calls; a mixture would allow both or none.
	std::string const a = "svc.A * work vault allow\nsvc.B * work vault deny notify=no\n";
	std::string const b = "svc.A * work vault deny notify=no\nsvc.B * work vault allow\n";
	write("policy/30-user.policy", a);
	start();
	for (unsigned i = 0; i < 50; ++i) {
		write("policy/30-user.policy", i % 2 ? a : b);
		for (unsigned j = 0; j < 20; ++j) {
			std::string const first = answer("svc.A"), second = answer("svc.B"),
							  third = answer("svc.A");
			if (first == third) {
				EXPECT_NE(first, second);
			}
		}
	}
}

} // namespace
} // namespace bulkhead::qrexec::test
