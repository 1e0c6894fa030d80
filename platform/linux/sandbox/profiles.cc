#include "platform/linux/sandbox/profiles.h"

#include "platform/linux/sandbox/plan.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>

namespace bulkhead::linux_host::sandbox {

namespace {

constexpr uint64_t INT = 0xffffffff; // the kernel looks at no more of an int

constexpr uint64_t NEW_NAMESPACE = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
	CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

#include "platform/linux/sandbox/profiles.inc"

constexpr Profile PROFILES[]{
	{"@start", START},
	{"@talk", TALK},
	{"@threads", THREADS},
	{"@threaded_talk", TALK, "@threads"},
	{"@program", PROGRAM, "@threaded_talk"},
};

} // namespace

std::span<Profile const> profiles() { return PROFILES; }

std::span<std::string_view const> deadly() { return DEADLY; }

std::span<std::string_view const> absent() { return ABSENT; }

} // namespace bulkhead::linux_host::sandbox
