#include "platform/linux/sandbox/plan.h"

#include <algorithm>
#include <asm/ioctls.h>
#include <cerrno>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <set>
#include <span>
#include <sstream>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

namespace {

/* A system call where an argument, counted from 0, matters: (argument & mask) is one of values. */
struct Rule
{
	char const *name;
	unsigned argument;
	uint64_t mask;
	std::initializer_list<uint64_t> values;
};

struct Profile
{
	std::string_view name;
	char const *calls; // whatever their arguments are
	std::span<Rule const> rules;
	std::string_view includes = {};
};

#include "platform/linux/sandbox/profiles.inc"

// Beyond what libseccomp has names for: a kernel that doesn't know a call says so, and programs go
// on.
constexpr int NAMELESS_FIRST = 451;
constexpr int NAMELESS_LAST = 475;

struct Filter
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	std::set<int> allowed{};

	Filter() = default;
	Filter(Filter const &) = delete;
	~Filter() { seccomp_release(context); }

	/* A call that is allowed stays so. */
	bool add(uint32_t action, int number, std::span<scmp_arg_cmp const> where = {})
	{
		bool const allow = action == SCMP_ACT_ALLOW;
		if (number == __NR_SCMP_ERROR) return !allow;
		if (allow) allowed.insert(number);
		// A number below 0: what this machine doesn't have can't be called.
		if (number < 0 || (!allow && allowed.contains(number))) return true;
		int const result = seccomp_rule_add_array(
			context, action, number, static_cast<unsigned>(where.size()), where.data());
		return result == 0 || result == -EEXIST;
	}

	bool add_all(uint32_t action, char const *names)
	{
		bool good = true;
		std::istringstream words(names);
		for (std::string name; words >> name;)
			good = good && add(action, seccomp_syscall_resolve_name(name.c_str()));
		return good;
	}

	bool allow_profile(std::string_view name)
	{
		auto const profile = std::ranges::find(PROFILES, name, &Profile::name);
		if (profile == std::end(PROFILES)) return false;
		bool good = profile->includes.empty() || allow_profile(profile->includes);
		good = good && add_all(SCMP_ACT_ALLOW, profile->calls);
		for (Rule const &rule : profile->rules)
			for (uint64_t const value : rule.values) {
				scmp_arg_cmp const where{rule.argument, SCMP_CMP_MASKED_EQ, rule.mask, value};
				int const number = seccomp_syscall_resolve_name(rule.name);
				good = good && add(SCMP_ACT_ALLOW, number, {&where, 1});
			}
		return good;
	}

	/* What isn't allowed and has another answer than EPERM. */
	bool refuse_others()
	{
		bool good =
			add_all(SCMP_ACT_KILL_PROCESS, DEADLY) && add_all(SCMP_ACT_ERRNO(ENOSYS), ABSENT);
		for (int number = NAMELESS_FIRST; number <= NAMELESS_LAST; ++number)
			good = good && add(SCMP_ACT_ERRNO(ENOSYS), number);
		return good;
	}

	bool compile(System_calls &program)
	{
		// Other entry points have other numbers. A tree, as the kernel tries it with each number.
		seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
		seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		Owned_fd const file(memfd_create("seccomp", MFD_CLOEXEC));
		if (seccomp_export_bpf(context, file.value()) != 0) return false;
		ssize_t const bytes = lseek(file.value(), 0, SEEK_END);
		program.resize(static_cast<size_t>(bytes) / sizeof(sock_filter));
		return pread(file.value(), program.data(), static_cast<size_t>(bytes), 0) == bytes;
	}
};

} // namespace

} // namespace sandbox

Attempt<System_calls> compile_system_calls(std::vector<std::string> const &names, std::string &why)
{
	sandbox::Filter filter;
	System_calls calls;
	// A program has to get started, and to end.
	bool good = filter.context && filter.allow_profile("@start");
	for (std::string const &name : names) {
		int const number = seccomp_syscall_resolve_name(name.c_str());
		if (name.starts_with('@') ? filter.allow_profile(name) : filter.add(SCMP_ACT_ALLOW, number))
			continue;
		why = "\"" + name + "\" is no system call of Linux and no list of them (@talk, @program)";
		return Error::INVALID;
	}
	good = good && filter.refuse_others() && filter.compile(calls);
	if (good) return calls;
	why = "libseccomp could not make a program of the list";
	return Error::OUT_OF_MEMORY;
}

} // namespace bulkhead::linux_host
