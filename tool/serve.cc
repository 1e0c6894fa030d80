#include "tool/serve.h"

#include "base/sync_wait.h"
#include "platform/linux/signals.h"
#include "tool/report.h"
#include "tool/system.h"
#include "vfs/fuse/front_end.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

constexpr size_t STOP_ARENA_BYTES = 4096;

Trouble trouble_of(fuse::Problem const &problem)
{
	using Kind = fuse::Problem::Kind;
	Exit exit = Exit::FAILURE;
	switch (problem.kind) {
	case Kind::NO_FUSE:
	case Kind::NO_PERMISSION: exit = Exit::FUSE; break;
	case Kind::NO_MOUNT_POINT:
	case Kind::IN_USE: exit = Exit::MOUNT_POINT; break;
	case Kind::FAILED: break;
	}
	return {exit, problem.what, problem.remedy};
}

/* Tells a service manager, as sd_notify(3) does; without one there is nobody to tell. */
void notify(std::string_view state)
{
	char const *const path = getenv("NOTIFY_SOCKET");
	sockaddr_un address{};
	address.sun_family = AF_UNIX;
	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path) return;
	size_t const size = strlen(path);
	memcpy(address.sun_path, path, size);
	if (*path == '@') address.sun_path[0] = '\0'; // an abstract name
	int const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return;
	socklen_t const length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size);
	(void)sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
		reinterpret_cast<sockaddr const *>(&address), length);
	close(fd);
}

class Server final : private fuse::Front_end::Unmounted
{
private:
	Serve_options const &_options;
	Manifest _manifest;
	linux_host::Loop _loop{};
	linux_host::Stop_signals _signals{_loop};
	Stderr_sink _sink{};
	System _system;
	std::string _mount{};

	void unmounted() override { _loop.stop(); }

	void _ready()
	{
		fmt::print("bulkhead: serving {} at {}\n", _manifest.path, _mount);
		fflush(stdout);
		notify("READY=1");
		if (_options.ready_fd < 0) return;
		std::string_view const line = "ready\n";
		(void)!write(_options.ready_fd, line.data(), line.size());
		close(_options.ready_fd);
	}

	int _mount_and_run()
	{
		Section const &serve = _manifest.serve;
		fuse::Front_end front_end(_loop, Ref<vfs::Node>(_system.tree().root()),
			{.mount_point = _mount,
				.allow_other = serve.boolean("allow_other", false).value(),
				.requests_max = serve.number("requests_max", REQUESTS_USUAL).value()});
		if (auto const problem = front_end.mount(this)) return report(trouble_of(*problem));
		_ready();
		_loop.run();
		notify("STOPPING=1");
		Job_with_arena<STOP_ARENA_BYTES> job(_loop.executor());
		(void)sync_wait(job, front_end.stop(job), _loop);
		return static_cast<int>(Exit::OK);
	}

public:
	explicit Server(Serve_options const &options)
		: _options(options),
		  _manifest(host_system::read_manifest(options.manifest)),
		  _system(_loop, _manifest, Log(_sink, options.verbose ? Level::DEBUG : Level::INFO))
	{}

	int run()
	{
		// Processes that are started here must not keep it open.
		if (_options.ready_fd >= 0 && fcntl(_options.ready_fd, F_SETFD, FD_CLOEXEC) != 0)
			return report({Exit::USAGE,
				fmt::format("--ready-fd: {} is no open file descriptor", _options.ready_fd)});
		_system.describe();
		if (!_manifest.faults.empty()) return report_faults(_manifest);
		if (_options.check) {
			fmt::print("{}: {} files, {} devices, no fault\n", _manifest.path,
				_manifest.files.size(), _manifest.devices.size());
			return static_cast<int>(Exit::OK);
		}
		_mount = _options.mount;
		if (_mount.empty()) _mount = _manifest.serve.text_of("mount");
		if (_mount.empty())
			return report({Exit::USAGE, "no mount point is given",
				"--mount DIR, or mount = \"DIR\" in [serve]"});
		// What can't be mounted isn't worth a look at the devices.
		if (auto const problem = fuse::check_fuse()) return report(trouble_of(*problem));
		if (auto const problem = fuse::prepare_mount_point(_mount))
			return report(trouble_of(*problem));
		if (!_loop.usable().ok() || !_signals.start().ok())
			return report({Exit::FAILURE, "too many open files"});
		if (auto const trouble = _system.start()) return report(*trouble);
		if (!_manifest.faults.empty()) return report_faults(_manifest);
		return _mount_and_run();
	}
};

} // namespace

int serve(Serve_options const &options) { return Server(options).run(); }

} // namespace bulkhead::tool
