// The mount of a file system whose requests somebody else answers: libfuse opens and mounts, and
// is then done.

#include "vfs/fuse/messages.h"
#include "vfs/fuse/mount_point.h"
#include "vfs/remote/limits.h"
#include "vfs/remote/mount.h"

#include <fcntl.h>
#include <memory>
#include <unistd.h>
#include <vector>

namespace bulkhead::remote {

namespace {

struct End_of_session
{
	void operator()(fuse_session *session) const { fuse_session_destroy(session); }
};
using Session = std::unique_ptr<fuse_session, End_of_session>;

/*
 * A descriptor of our own for what the session has mounted, which the session then gives up. It
 * does so in peace only if its descriptor polls as that of a mount that has ended: a pipe without
 * reader does. Without giving up it would forget to free the name of the place (libfuse 3.14).
 */
linux_host::Owned_fd take_over(fuse_session *session)
{
	int const its = fuse_session_fd(session);
	int pipe_ends[2];
	linux_host::Owned_fd ours(fcntl(its, F_DUPFD_CLOEXEC, 0));
	if (!ours || pipe2(pipe_ends, O_CLOEXEC) != 0) {
		fuse_session_unmount(session);
		return {};
	}
	close(pipe_ends[0]);
	dup3(pipe_ends[1], its, O_CLOEXEC);
	close(pipe_ends[1]);
	fuse_session_unmount(session);
	return ours;
}

Session make_session(std::vector<std::string> const &options)
{
	fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
	bool complete = fuse_opt_add_arg(&arguments, "bulkhead") == 0;
	for (std::string const &option : options)
		complete = complete && fuse_opt_add_arg(&arguments, ("-o" + option).c_str()) == 0;
	fuse_lowlevel_ops const none{};
	Session session;
	if (complete) session.reset(fuse_session_new(&arguments, &none, sizeof none, nullptr));
	fuse_opt_free_args(&arguments);
	return session;
}

std::string describe(fuse::Problem const &problem)
{
	return problem.remedy.empty() ? problem.what : problem.what + "; " + problem.remedy;
}

/* A value of a mount option: commas and backslashes would end or change it. */
std::string option_value(std::string const &text)
{
	std::string result;
	for (char const c : text) {
		if (c == ',' || c == '\\') result += '\\';
		result += c;
	}
	return result;
}

} // namespace

linux_host::Owned_fd mount_fuse(std::string const &directory, std::string const &source,
	bool read_only, bool allow_other, std::string &why)
{
	auto problem = fuse::check_fuse();
	if (!problem) problem = fuse::prepare_mount_point(directory);
	if (problem) {
		why = describe(*problem);
		return {};
	}
	std::vector<std::string> options{"default_permissions", "fsname=" + option_value(source),
		std::string("subtype=") + fuse::FUSE_SUBTYPE, "max_read=" + std::to_string(IO_MAX)};
	if (read_only) options.push_back("ro");
	if (allow_other) options.push_back("allow_other");
	fuse::Messages const messages;
	Session const session = make_session(options);
	std::string const place = fuse::real_mount_point(directory);
	if (!session || fuse_session_mount(session.get(), place.c_str()) != 0) {
		std::string const said = messages.text();
		why = "mounting at " + directory + " was refused" + (said.empty() ? "" : ": " + said);
		return {};
	}
	linux_host::Owned_fd fd = take_over(session.get());
	if (!fd) why = "too many open files";
	return fd;
}

bool unmount_fuse(std::string const &directory, std::string &why)
{
	std::string const place = fuse::real_mount_point(directory);
	std::string const type = fuse::mounted_type(place);
	if (type != std::string("fuse.") + fuse::FUSE_SUBTYPE) {
		why = type.empty() ? "nothing is mounted at " + directory
						   : "what is mounted at " + directory + " is of type " + type;
		return false;
	}
	if (fuse::unmount_lazily(place)) return true;
	why = directory + " can't be unmounted";
	return false;
}

} // namespace bulkhead::remote
