#pragma once

// The real program in a folder of its own, with policy files and domains that the test writes, and
// the other ends of its sockets: daemons, qubesd and a person's GUI are the test.

#include "platform/linux/descriptor.h"

#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::qrexec::test {

/* One end of a stream; what goes wrong fails the test, and nothing waits for ever. */
class Stream
{
private:
	linux_host::Owned_fd _socket{};

public:
	Stream() = default;
	explicit Stream(int socket) : _socket(socket) {}

	static Stream connect(std::string const &path);

	/* Whether all could be sent. */
	bool send(std::string_view text);
	/* Ends this side. */
	void end();
	/* Until the other side's end; a reset is one, too. */
	std::string receive_all();
	/* Waits until the other side has closed; what it has sent may be there yet. */
	void wait_gone() const;
	/* Whether there is something, or an end, now. */
	bool readable() const;
	void close() { _socket.reset(); }
	int fd() const { return _socket.value(); }
};

/* A socket that the program connects to. */
class Service_socket
{
private:
	linux_host::Owned_fd _socket{};

public:
	explicit Service_socket(std::string const &path);
	/* Waits for the program. */
	Stream accept();
	/* Whether the program has connected. */
	bool somebody() const;
	int fd() const { return _socket.value(); }
};

inline constexpr char const *DOMAINS =
	R"({"domains":{)"
	R"("dom0":{"type":"AdminVM","tags":[],"guivm":null,"icon":"adminvm-black","power_state":"Running"},)"
	R"("work":{"type":"AppVM","tags":["guivm-gui","red"],"guivm":"dom0","icon":"appvm-green",)"
	R"("power_state":"Running","default_dispvm":"dvm","uuid":"6db4f5d2-0000-4000-8000-000000000001"},)"
	R"("vault":{"type":"AppVM","tags":["guivm-gui"],"guivm":"gui","icon":"appvm-black",)"
	R"("power_state":"Halted"},)"
	R"("web":{"type":"AppVM","tags":[],"guivm":null,"icon":"appvm-red","power_state":"Running"},)"
	R"("gui":{"type":"AppVM","tags":[],"guivm":"dom0","icon":"appvm-gray","power_state":"Running"},)"
	R"("dvm":{"type":"AppVM","tags":[],"guivm":"dom0","icon":"appvm-red",)"
	R"("template_for_dispvms":true,"power_state":"Halted"},)"
	R"("relay":{"type":"AppVM","tags":[],"guivm":"dom0","power_state":"Running"},)"
	R"("far":{"type":"RemoteVM","tags":[],"guivm":"dom0","power_state":"Running",)"
	R"("relayvm":"relay","transport_rpc":"qubes.Ssh"}}})";

class World : public ::testing::Test
{
protected:
	std::filesystem::path folder{};
	std::vector<std::string> options{}; // beside those that name the folder's files
	bool domains_from_file = true;
	int handed_over = -1; // a socket that systemd would have opened

	World();
	~World() override;

	std::string path(std::string_view name) const { return (folder / name).string(); }
	/* As an editor does that writes a file in place. */
	void write(std::string_view name, std::string_view text) const;
	/* As one does that writes another and renames it. */
	void replace(std::string_view name, std::string_view text) const;

	/* Starts the program and waits until it answers. */
	void start();
	/* Waits for a line of its journal that has this in it, and returns it. */
	std::string journal(std::string_view part);
	/* All lines up to and with the one that has this in it. */
	std::vector<std::string> journal_until(std::string_view part);
	void signal(int number) const;
	/* Ends it with SIGTERM, or expects that it has ended; its exit code, or -1. */
	int stop();

	/* The daemon's socket. */
	Stream ask(std::string_view text);
	/* A whole question and its answer. */
	std::string answer(std::string_view service, std::string_view target = "vault",
		std::string_view source = "work", std::string_view more = "");
	/* policy.EvalSimple or policy.EvalGUI. */
	std::string eval(std::string_view face, std::string_view text);

private:
	pid_t _process = -1;
	linux_host::Owned_fd _journal{};
	std::string _unread{};

	std::string _next_line();
};

/* A program's exit code, and what it has printed. */
struct Printed
{
	int code = -1;
	std::string text{};
};
Printed run(std::vector<std::string> const &command);

inline constexpr char const *ALLOWED = "user=DEFAULT\nresult=allow\ntarget=vault\n"
									   "autostart=True\nrequested_target=vault";
inline constexpr char const *DENIED = "result=deny";

} // namespace bulkhead::qrexec::test
