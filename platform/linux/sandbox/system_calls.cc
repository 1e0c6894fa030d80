#include "platform/linux/sandbox/profiles.h"
#include "platform/linux/sandbox/sandbox.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bulkhead::linux_host {

using namespace sandbox;

namespace {

// Beyond what libseccomp has names for: a kernel that doesn't know a call says so, and programs go
// on.
constexpr int NAMELESS_FIRST = 451;
constexpr int NAMELESS_LAST = 475;

class Filter
{
private:
	scmp_filter_ctx _context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	std::vector<int> _allowed{};

	/* What this machine doesn't have can't be called. */
	static int _number(std::string_view name)
	{
		return seccomp_syscall_resolve_name(std::string(name).c_str());
	}

	bool _add(uint32_t action, Rule const &rule)
	{
		int const number = _number(rule.name);
		if (number == __NR_SCMP_ERROR) return false;
		if (number < 0) return true;
		scmp_arg_cmp const comparison{
			static_cast<unsigned>(rule.argument), SCMP_CMP_MASKED_EQ, rule.mask, rule.value};
		unsigned const count = rule.argument < 0 ? 0 : 1;
		int const result = seccomp_rule_add_array(_context, action, number, count, &comparison);
		if (action == SCMP_ACT_ALLOW) _allowed.push_back(number);
		return result == 0 || result == -EEXIST;
	}

	bool _refuse(uint32_t action, int number)
	{
		for (int const allowed : _allowed)
			if (allowed == number) return true;
		int const result =
			number < 0 ? 0 : seccomp_rule_add_array(_context, action, number, 0, nullptr);
		return result == 0 || result == -EEXIST;
	}

	bool _allow_profile(std::string_view name)
	{
		for (Profile const &profile : profiles()) {
			if (profile.name != name) continue;
			for (Rule const &rule : profile.rules)
				if (!_add(SCMP_ACT_ALLOW, rule)) return false;
			return profile.includes.empty() || _allow_profile(profile.includes);
		}
		return false;
	}

public:
	Filter() = default;
	Filter(Filter const &) = delete;
	~Filter() { seccomp_release(_context); }

	bool begin()
	{
		// Other entry points have other numbers. A tree, as the kernel runs it for each number
		// once.
		return _context &&
			seccomp_attr_set(_context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) == 0 &&
			seccomp_attr_set(_context, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0;
	}

	bool allow(std::string const &name)
	{
		return name.starts_with('@') ? _allow_profile(name) : _add(SCMP_ACT_ALLOW, Rule{name});
	}

	bool refuse_others()
	{
		for (std::string_view const name : deadly())
			if (!_refuse(SCMP_ACT_KILL_PROCESS, _number(name))) return false;
		for (std::string_view const name : absent())
			if (!_refuse(SCMP_ACT_ERRNO(ENOSYS), _number(name))) return false;
		for (int number = NAMELESS_FIRST; number <= NAMELESS_LAST; ++number)
			if (!_refuse(SCMP_ACT_ERRNO(ENOSYS), number)) return false;
		return true;
	}

	std::vector<sock_filter> program()
	{
		Owned_fd const file(memfd_create("seccomp", MFD_CLOEXEC));
		struct stat size{};
		if (!file || seccomp_export_bpf(_context, file.value()) != 0 ||
			fstat(file.value(), &size) != 0)
			return {};
		std::vector<sock_filter> program(static_cast<size_t>(size.st_size) / sizeof(sock_filter));
		if (pread(file.value(), program.data(), static_cast<size_t>(size.st_size), 0) !=
			size.st_size)
			return {};
		return program;
	}
};

} // namespace

Attempt<System_calls> System_calls::compile(std::vector<std::string> const &names, std::string &why)
{
	Filter filter;
	if (!filter.begin()) return Error::OUT_OF_MEMORY;
	// A program has to get started, and to end.
	if (!filter.allow("@start")) return Error::OUT_OF_MEMORY;
	for (std::string const &name : names)
		if (!filter.allow(name)) {
			why = "\"" + name +
				"\" is no system call of Linux and no list of them (@talk, @threads, "
				"@program)";
			return Error::INVALID;
		}
	System_calls calls;
	if (!filter.refuse_others() || (calls._program = filter.program()).empty()) {
		why = "libseccomp could not make a program of the list";
		return Error::OUT_OF_MEMORY;
	}
	return calls;
}

} // namespace bulkhead::linux_host
