#pragma once

// A component that serves files, in one loop with a broker and its clients.

#include "base/sync_wait.h"
#include "component/files/files.h"
#include "platform/sim/swtpm_process.h"
#include "sdk/component/channel_stream.h"
#include "sdk/component/test/fake_broker.h"
#include "vfs/remote/client.h"

#include <cstring>
#include <gtest/gtest.h>
#include <optional>
#include <sys/socket.h>
#include <sys/un.h>

namespace bulkhead::files {

struct World
{
	linux_host::Loop loop{};
	component::Fake_broker broker{loop};
	component::Env env{loop};
	sim::Swtpm_process swtpm{};
	std::optional<Files> files{};

	explicit World(std::string config)
	{
		EXPECT_TRUE(env.start(broker.add("tpm"), "tpm", std::move(config)));
	}

	/* A TPM's socket, as the broker connects it for a device. */
	void give_tpm(std::string const &name)
	{
		if (!swtpm.running()) {
			EXPECT_TRUE(swtpm.start().ok()) << swtpm.message();
		}
		int const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		sockaddr_un address{};
		address.sun_family = AF_UNIX;
		strncpy(address.sun_path, swtpm.data_socket().c_str(), sizeof(address.sun_path) - 1);
		EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
		env.give("device:" + name, linux_host::Owned_fd(fd));
	}

	bool start()
	{
		files.emplace(env);
		if (!files->start()) return false;
		// The rest of this loop's life is the tests'.
		loop.stop();
		EXPECT_EQ(files->run(), 0);
		return true;
	}

	/* What is ready now. */
	void turn()
	{
		loop.executor().run_ready();
		loop.poll(0);
		loop.executor().run_ready();
	}
};

/* A domain that has called bulkhead.File+NAME. */
class Client_domain
{
private:
	static constexpr size_t ARENA_BYTES = 32768;

	World &_world;
	qrexec::Loop_channel _channel{_world.loop};
	component::Channel_stream _stream{_channel};
	remote::Client _client{_world.loop.executor(), _stream};
	Job_with_arena<ARENA_BYTES> _running{_world.loop.executor()};
	Job_with_arena<ARENA_BYTES> _job{_world.loop.executor()};
	Root _root{};

	static Root _run(Job &job, remote::Client &client)
	{
		static_cast<void>(co_await client.run(job));
	}

	template <typename T>
	Attempt<T> _wait(Task<T> task)
	{
		return sync_wait(_job, std::move(task), _world.loop);
	}

	template <typename T>
	static Error _error(Attempt<T> const &attempt)
	{
		return attempt.ok() ? Error{} : attempt.error();
	}

public:
	Client_domain(World &world, std::string name, std::string const &export_name) : _world(world)
	{
		auto end = world.broker.call(std::move(name), "tpm", "bulkhead.File+" + export_name);
		EXPECT_TRUE(end.ok());
		EXPECT_TRUE(_channel.adopt(std::move(end).value(), qrexec::Side::CALLER).ok());
		_root = _run(_running, _client);
		EXPECT_TRUE(_root.start(_running).ok());
	}
	/* As a domain that dies: it says nothing. */
	~Client_domain()
	{
		_root = Root();
		_channel.close();
	}

	int exit_code()
	{
		Attempt<int> const code = _wait(_channel.exit_code(_job));
		return code.ok() ? code.value() : -1;
	}

	std::optional<remote::Remote_file> open(std::string_view path, bool write = true)
	{
		auto const file = _wait(_client.open(_job, path, {.read = true, .write = write}));
		if (!file.ok()) return {};
		return file.value();
	}
	Error error_of_open(std::string_view path)
	{
		return _error(_wait(_client.open(_job, path, {})));
	}
	Error close(remote::Remote_file file) { return _error(_wait(_client.close(_job, file))); }

	std::string read(std::string_view path)
	{
		auto const file = open(path, false);
		if (!file) return "can't be opened";
		char buffer[100];
		auto const size = _wait(_client.read(
			_job, *file, std::span(reinterpret_cast<uint8_t *>(buffer), sizeof(buffer)), 0));
		EXPECT_EQ(close(*file), Error{});
		return size.ok() ? std::string(buffer, size.value()) : "can't be read";
	}

	Error make(std::string_view path, std::string_view content)
	{
		auto const made = _wait(_client.create(_job, path, {}));
		if (!made.ok()) return made.error();
		auto const file = open(path);
		if (!file) return Error::IO;
		auto const written = _wait(_client.write(_job, *file, bytes_of(content), 0));
		EXPECT_EQ(close(*file), Error{});
		return _error(written);
	}

	/* A command of a TPM with a parameter of 16 bits, and what it answers. */
	std::vector<uint8_t> give(remote::Remote_file file, uint32_t code)
	{
		std::vector<uint8_t> command(12), response(4096);
		Byte_writer writer{command};
		writer.u16_be(0x8001);
		writer.u32_be(12);
		writer.u32_be(code);
		writer.u16_be(8);
		EXPECT_TRUE(_wait(_client.write(_job, file, command, 0)).ok());
		auto const size = _wait(_client.read(_job, file, response, 0));
		response.resize(size.ok() ? size.value() : 0);
		return response;
	}
	static uint32_t code_of(std::vector<uint8_t> const &response)
	{
		return response.size() < 10 ? ~0u : load_be<uint32_t>(Bytes{response}.subspan<6, 4>());
	}

	/* Requests until no more fit into the channel, whose answers nobody takes. */
	void ask_without_reading(std::string_view path)
	{
		auto const file = open(path, false);
		ASSERT_TRUE(file);
		_root = Root();
		std::vector<uint8_t> request(80); // fuse_in_header and fuse_read_in, <linux/fuse.h>
		auto const put = [&](size_t at, uint64_t value, size_t size) {
			memcpy(request.data() + at, &value, size);
		};
		put(0, request.size(), 4);
		put(4, 15, 4); // FUSE_READ
		put(16, file->node, 8);
		put(40, file->handle, 8);
		put(56, 4096, 4);
		uint64_t unique = 1'000'000;
		for (unsigned idle = 0; idle < 100; ++idle) {
			while (true) {
				auto const room = _channel.reserve(request.size());
				if (room.first.size() + room.second.size() < request.size()) break;
				put(8, unique += 2, 8);
				copy_bytes(room.first, request);
				copy_bytes(room.second, Bytes{request}.subspan(room.first.size()));
				_channel.commit(request.size());
				idle = 0;
			}
			_world.turn();
		}
	}
};

} // namespace bulkhead::files
