// Calls between whole domains, by all programs together.

#include "component/qrexec/test/domains.h"

#include <filesystem>
#include <fstream>

namespace bulkhead::qrexec::test {
namespace {

using Result = Domains::Result;

Result const REFUSED{126, "", "Request refused\n"};

class Qrexec_domains : public Programs
{
protected:
	Domains domains{world};
	Domains::Running const work = domains.start(5, "work");
	Domains::Running const vault = domains.start(7, "vault");

	void serve(std::string const &name, std::string const &text)
	{
		world.script(vault.domain, "rpc", name, text);
	}
};

INSTANTIATE_TEST_SUITE_P(, Qrexec_domains, testing::Values("socket", "shm"), transport_name);

TEST_P(Qrexec_domains, call_each_other_where_the_policy_allows_it)
{
	serve("test.Echo", "echo \"$QREXEC_REMOTE_DOMAIN $1\"; cat; echo errors >&2; exit 42\n");
	domains.start_policy("test.Echo * work vault allow\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo+arg", "input"),
		(Result{42, "work arg\ninput", "errors\n"}));
	// One way only.
	EXPECT_EQ(domains.call(vault.domain, "work", "test.Echo+arg"), REFUSED);
}

TEST_P(Qrexec_domains, are_refused_in_one_way_whatever_the_reason)
{
	serve("test.Echo", "exit 1\n");
	domains.start_policy("test.Echo * work vault deny\ntest.Other +a work vault allow\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo"), REFUSED);
	EXPECT_EQ(domains.call(work.domain, "nowhere", "test.Echo"), REFUSED);
	EXPECT_EQ(domains.call(work.domain, "dom0", "test.Echo"), REFUSED);
	EXPECT_EQ(domains.call(work.domain, "work", "test.Echo"), REFUSED);
	EXPECT_EQ(domains.call(work.domain, "@default", "test.Echo"), REFUSED);
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Other+b"), REFUSED);
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Nothing"), REFUSED);
}

TEST_P(Qrexec_domains, are_refused_without_a_policy)
{
	serve("test.Echo", "cat\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo"), REFUSED);
}

TEST_P(Qrexec_domains, are_refused_while_the_policy_has_an_error)
{
	serve("test.Echo", "cat\n");
	Process &policy = domains.start_policy("test.Echo * work vault allow\ntest.Echo nonsense\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo"), REFUSED);
	EXPECT_NE(world.logs().find("30-test.policy:2"), std::string::npos) << world.logs();
	EXPECT_TRUE(policy.running());
	// Mended: it counts at once.
	std::ofstream(world.path("policy/rules/30-test.policy")) << "test.Echo * work vault allow\n";
	eventually("the policy to be read again",
		[&] { return domains.call(work.domain, "vault", "test.Echo", "x") == Result{0, "x", ""}; });
}

TEST_P(Qrexec_domains, call_the_host)
{
	world.script(domains.host, "rpc", "test.Host",
		"echo \"$1,$QREXEC_REMOTE_DOMAIN,$QREXEC_REQUESTED_TARGET_TYPE,"
		"$QREXEC_REQUESTED_TARGET,$QREXEC_REQUESTED_TARGET_KEYWORD\"; cat; exit 3\n");
	domains.start_policy("test.Host * work @adminvm allow\n");
	EXPECT_EQ(domains.call(work.domain, "@adminvm", "test.Host+a", "in"),
		(Result{3, "a,work,keyword,,adminvm\nin", ""}));
	EXPECT_EQ(domains.call(work.domain, "dom0", "test.Host+a", "in").exit_code, 3);
	EXPECT_EQ(domains.call(vault.domain, "dom0", "test.Host+a"), REFUSED);
}

TEST_P(Qrexec_domains, are_called_by_the_host)
{
	serve("test.Echo", "echo \"$QREXEC_REMOTE_DOMAIN $1\"; cat; exit 42\n");
	EXPECT_EQ(domains.host_call("vault", me() + ":QUBESRPC test.Echo+arg dom0", "in"),
		(Result{42, "dom0 arg\nin", ""}));
	EXPECT_EQ(domains.host_call("vault", "DEFAULT:echo $VCHAN_DOMAIN").exit_code, 0);
	EXPECT_EQ(domains.host_call("7", me() + ":exit 9"), (Result{9, "", ""}));
}

TEST_P(Qrexec_domains, call_sockets)
{
	Wire service = Wire::listen(vault.domain.folder + "/rpc/test.Socket");
	domains.start_policy("test.Socket * work vault allow\n");
	Client client = world.start_client_vm(work.domain, {"vault", "test.Socket+a"});
	service.accept();
	std::string const descriptor = std::string("test.Socket+a work") + '\0';
	EXPECT_EQ(service.receive_bytes(descriptor.size()), descriptor);
	client.in.send_bytes("question");
	EXPECT_EQ(service.receive_bytes(8), "question");
	service.send_bytes("answer");
	EXPECT_EQ(client.out.receive_bytes(6), "answer");
	service.close();
	EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
}

TEST_P(Qrexec_domains, are_redirected_by_the_policy)
{
	serve("test.Echo", "cat\n");
	domains.start_policy("test.Echo * work @default allow target=vault\n");
	EXPECT_EQ(domains.call(work.domain, "", "test.Echo", "x"), (Result{0, "x", ""}));
	EXPECT_EQ(domains.call(work.domain, "@default", "test.Echo", "x"), (Result{0, "x", ""}));
}

TEST_P(Qrexec_domains, learn_that_there_is_no_such_service)
{
	domains.start_policy("* * work vault allow\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Missing").exit_code, 127);
}

TEST_P(Qrexec_domains, learn_that_a_service_had_trouble)
{
	serve("test.Echo", "cat\n");
	world.file(vault.domain, "rpc-config", "test.Echo", "wait-for-session = perhaps\n");
	domains.start_policy("* * work vault allow\n");
	Result const result = domains.call(work.domain, "vault", "test.Echo");
	EXPECT_EQ(result.exit_code, 125);
	EXPECT_EQ(result.out, "");
	EXPECT_EQ(result.errors.find("perhaps"), std::string::npos);
}

TEST_P(Qrexec_domains, learn_nothing_of_the_policy)
{
	domains.start_policy("test.Echo * work vault deny notify=no\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo"), REFUSED);
}

TEST_P(Qrexec_domains, exchange_much_data)
{
	serve("test.Echo", "cat\n");
	domains.start_policy("test.Echo * work vault allow\n");
	std::string data(8 << 20, '\0');
	for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + i / 256);
	Client client = world.start_client_vm(work.domain, {"vault", "test.Echo"});
	std::string got;
	for (size_t at = 0; at < data.size(); at += 65536) {
		client.in.send_bytes(data.substr(at, 65536));
		got += client.out.receive_bytes(65536);
	}
	EXPECT_TRUE(got == data);
	EXPECT_EQ(Domains::result(client), (Result{0, "", ""}));
}

TEST_P(Qrexec_domains, take_service_names_up_to_the_limit_and_refuse_longer_ones)
{
	serve("test.Length", "printf %s \"$1\" | wc -c\n");
	domains.start_policy("* * work vault allow\n");
	std::string const prefix = "test.Length+";
	for (size_t const size : {prefix.size(), prefix.size() + 1, size_t{63}, size_t{64}, size_t{65},
			 size_t{255}, size_t{256}, size_t{3900}, size_t{3927}}) {
		std::string const argument(size - prefix.size(), 'a');
		EXPECT_EQ(domains.call(work.domain, "vault", prefix + argument),
			(Result{0, std::to_string(argument.size()) + "\n", ""}))
			<< size;
	}
	for (size_t const size : {3928, 3929, 4000, 4096, 65000, 65535, 70000}) {
		std::string const argument(size - prefix.size(), 'a');
		Result const result = domains.call(work.domain, "vault", prefix + argument);
		EXPECT_EQ(result.exit_code, 126) << size;
		EXPECT_NE(result.errors.find(std::to_string(3927)), std::string::npos)
			<< size << ": " << result.errors;
	}
	for (char const *const name : {"", "+", "+a"}) {
		Result const result = domains.call(work.domain, "vault", name);
		EXPECT_TRUE(result.exit_code == 126 || result.exit_code == 1 || result.exit_code == 125)
			<< name << result.exit_code;
		EXPECT_NE(result.errors, "") << name;
	}
	// Nobody was hurt.
	EXPECT_EQ(domains.call(work.domain, "vault", prefix + "abc"), (Result{0, "3\n", ""}));
}

TEST_P(Qrexec_domains, take_target_names_up_to_the_limit_and_refuse_longer_ones)
{
	domains.start_policy("* * work vault allow\n");
	for (size_t const size : {1, 31, 32, 62, 63})
		EXPECT_EQ(domains.call(work.domain, std::string(size, 'a'), "test.Echo"), REFUSED) << size;
	for (size_t const size : {64, 65, 4000}) {
		Result const result = domains.call(work.domain, std::string(size, 'a'), "test.Echo");
		EXPECT_TRUE(result.exit_code == 125 || result.exit_code == 126) << size;
		EXPECT_NE(result.errors, "") << size;
	}
}

TEST_P(Qrexec_domains, call_themselves_where_the_host_wants_it)
{
	world.script(work.domain, "rpc", "test.Echo", "echo \"$QREXEC_REMOTE_DOMAIN\"; cat; exit 5\n");
	domains.start_policy("test.Echo * work work allow\n", {"--calls-within-domain"});
	EXPECT_EQ(domains.call(work.domain, "work", "test.Echo", "in"), (Result{5, "work\nin", ""}));
	EXPECT_EQ(domains.call(vault.domain, "vault", "test.Echo", "in"), REFUSED);
}

TEST_P(Qrexec_domains, dont_call_themselves_otherwise)
{
	world.script(work.domain, "rpc", "test.Echo", "cat\n");
	domains.start_policy("test.Echo * work work allow\n");
	EXPECT_EQ(domains.call(work.domain, "work", "test.Echo", "in"), REFUSED);
}

TEST_P(Qrexec_domains, go_on_with_the_next_policy_daemon)
{
	serve("test.Echo", "cat\n");
	Process &policy = domains.start_policy("test.Echo * work vault allow\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo", "x"), (Result{0, "x", ""}));
	world.kill(policy);
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo", "x"), REFUSED);
	domains.start_policy("test.Echo * work vault allow\n");
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo", "x"), (Result{0, "x", ""}));
}

TEST_P(Qrexec_domains, are_refused_when_the_target_is_down)
{
	serve("test.Echo", "cat\n");
	domains.start_policy("test.Echo * work vault allow autostart=no\n");
	world.stop(*vault.daemon);
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo", "x"), REFUSED);
	world.stop(*vault.agent);
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo", "x"), REFUSED);
}

TEST_P(Qrexec_domains, go_on_after_their_agent_was_started_again)
{
	serve("test.Echo", "cat\n");
	domains.start_policy("test.Echo * work vault allow\n");
	world.kill(*vault.agent);
	eventually("the daemon to notice",
		[&] { return !std::filesystem::exists(world.socket_directory() + "/qrexec.7"); });
	world.start_agent(vault.domain);
	Wire::connect(world.socket_directory() + "/qrexec.vault").close();
	EXPECT_EQ(domains.call(work.domain, "vault", "test.Echo", "x"), (Result{0, "x", ""}));
}

} // namespace
} // namespace bulkhead::qrexec::test
