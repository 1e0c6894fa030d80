#include "platform/linux/sandbox/plan.h"

#include <algorithm>
#include <cerrno>
#include <linux/sched.h>
#include <seccomp.h>
#include <set>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bulkhead::linux_host {

namespace sandbox {

namespace {

/* A system call, with one of its arguments if that matters: (argument & mask) == value. */
struct Rule
{
	char const *name;
	int argument = -1; // from 0 on; -1: whatever they are
	uint64_t mask = 0;
	uint64_t value = 0;
};

struct Profile
{
	std::string_view name;
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
	bool add(uint32_t action, int number, Rule const &rule = {""})
	{
		bool const allow = action == SCMP_ACT_ALLOW;
		if (number == __NR_SCMP_ERROR) return !allow;
		if (allow) allowed.insert(number);
		// A number below 0: what this machine doesn't have can't be called.
		if (number < 0 || (!allow && allowed.contains(number))) return true;
		scmp_arg_cmp const comparison{
			static_cast<unsigned>(rule.argument), SCMP_CMP_MASKED_EQ, rule.mask, rule.value};
		int const result =
			seccomp_rule_add_array(context, action, number, rule.argument < 0 ? 0 : 1, &comparison);
		return result == 0 || result == -EEXIST;
	}

	bool add_all(uint32_t action, std::span<Rule const> rules)
	{
		return std::ranges::all_of(rules, [&](Rule const &rule) {
			return add(action, seccomp_syscall_resolve_name(rule.name), rule);
		});
	}

	bool allow_profile(std::string_view name)
	{
		for (Profile const &profile : PROFILES)
			if (profile.name == name)
				return (profile.includes.empty() || allow_profile(profile.includes)) &&
					add_all(SCMP_ACT_ALLOW, profile.rules);
		return false;
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

	bool compile(std::vector<sock_filter> &program)
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

Attempt<System_calls> System_calls::compile(std::vector<std::string> const &names, std::string &why)
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
	good = good && filter.refuse_others() && filter.compile(calls._program);
	if (good) return calls;
	why = "libseccomp could not make a program of the list";
	return Error::OUT_OF_MEMORY;
}

} // namespace bulkhead::linux_host
