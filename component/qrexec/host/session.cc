#include "component/qrexec/host/session.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "platform/linux/descriptor.h"
#include "rpc/qrexec/message.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <grp.h>
#include <optional>
#include <pwd.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bulkhead::qrexec {

using linux_host::Owned_fd;

namespace {

constexpr size_t ENTRY_MAX = 65536; // of the user database
constexpr char SHELL[] = "/bin/sh";

/* Of a user. */
struct Account
{
	std::string name{}, directory{}, shell{};
	uid_t user = 0;
	gid_t group = 0;
};

Service_failure trouble(std::string message) { return {EXIT_TROUBLE, std::move(message)}; }

Account account_of(passwd const &entry)
{
	bool const has_shell = entry.pw_shell && *entry.pw_shell;
	return {entry.pw_name, entry.pw_dir ? entry.pw_dir : "/", has_shell ? entry.pw_shell : SHELL,
		entry.pw_uid, entry.pw_gid};
}

std::optional<Account> find_account(std::string const &user)
{
	std::string memory(ENTRY_MAX, '\0');
	passwd entry{}, *found = nullptr;
	if (user.empty()) return {};
	(void)::getpwnam_r(user.c_str(), &entry, memory.data(), memory.size(), &found);
	if (!found) return {};
	return account_of(*found);
}

std::string own_user()
{
	std::string memory(ENTRY_MAX, '\0');
	passwd entry{}, *found = nullptr;
	(void)::getpwuid_r(::geteuid(), &entry, memory.data(), memory.size(), &found);
	return found ? found->pw_name : "";
}

std::string_view name_in(std::string_view variable)
{
	return variable.substr(0, variable.find('='));
}

// Replaces what is there of this name.
void set(std::vector<std::string> &environment, std::string variable)
{
	std::string_view const name = name_in(variable);
	std::erase_if(environment, [&](std::string const &other) { return name_in(other) == name; });
	environment.push_back(std::move(variable));
}

void set_user(std::vector<std::string> &environment, Account const &account)
{
	set(environment, "HOME=" + account.directory);
	set(environment, "SHELL=" + account.shell);
	set(environment, "USER=" + account.name);
	set(environment, "LOGNAME=" + account.name);
}

std::string login_name(std::string const &shell)
{
	return "-" + shell.substr(shell.rfind('/') + 1);
}

// What a shell gets on its command line is this text; all names are arguments behind it.
void through_login_shell(Program &program, Account const &account)
{
	if (program.command) {
		program.path = account.shell;
		program.arguments = {login_name(account.shell), "-c", program.arguments.back()};
		return;
	}
	std::vector<std::string> arguments{login_name(SHELL), "-c", "exec \"$@\"", "qrexec"};
	arguments.push_back(program.path);
	arguments.insert(arguments.end(), program.arguments.begin() + 1, program.arguments.end());
	program.path = SHELL;
	program.arguments = std::move(arguments);
}

void default_signals()
{
	for (int number = 1; number < NSIG; ++number) (void)::signal(number, SIG_DFL);
	sigset_t none;
	::sigemptyset(&none);
	(void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// All but these, and 0 to 2.
void close_others(std::array<int, 4> kept)
{
	std::ranges::sort(kept);
	unsigned first = STDERR_FILENO + 1;
	for (int const fd : kept) {
		if (fd < static_cast<int>(first)) continue;
		if (static_cast<unsigned>(fd) > first)
			(void)::close_range(first, static_cast<unsigned>(fd) - 1, 0);
		first = static_cast<unsigned>(fd) + 1;
	}
	(void)::close_range(first, ~0U, 0);
}

// Of a process that was forked: says what is wrong and ends.
[[noreturn]] void give_up(int report, std::string const &message)
{
	(void)!::write(report, message.data(), message.size());
	::_exit(EXIT_TROUBLE);
}

[[noreturn]] void execute(Program const &program, int report)
{
	default_signals();
	bool const placed =
		::dup2(program.in, 0) >= 0 && ::dup2(program.out, 1) >= 0 && ::dup2(program.errors, 2) >= 0;
	if (!placed) give_up(report, "cannot place descriptors: " + errno_text(errno));
	std::vector<char *> const arguments = pointers_to(program.arguments);
	std::vector<char *> const environment = pointers_to(program.environment);
	::execve(program.path.c_str(), arguments.data(), environment.data());
	give_up(report, failure_to_execute(program.path, errno).message);
}

// Becomes the user, for ever.
void become(Account const &account, int report)
{
	if (::setgid(account.group) != 0 || ::setuid(account.user) != 0)
		give_up(report, "cannot become " + account.name + ": " + errno_text(errno));
	(void)::setsid();
	// A user without a home is a user all the same.
	if (::chdir(account.directory.c_str()) != 0) (void)!::chdir("/");
}

// --- PAM

int answer(int count, pam_message const **messages, pam_response **responses, void *)
{
	if (count <= 0) return PAM_CONV_ERR;
	auto *const all =
		static_cast<pam_response *>(::calloc(static_cast<size_t>(count), sizeof(pam_response)));
	if (!all) return PAM_BUF_ERR;
	for (int i = 0; i < count; ++i) {
		int const style = messages[i]->msg_style;
		if (style == PAM_ERROR_MSG) log("PAM: ", std::string_view(messages[i]->msg));
		// There is nobody to ask.
		if (style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON) all[i].resp = ::strdup("");
	}
	*responses = all;
	return PAM_SUCCESS;
}

/* In the process that keeps a session. */
class Pam
{
private:
	pam_handle_t *_handle = nullptr;
	int _result = PAM_SUCCESS;

	bool _ok(int result) { return (_result = result) == PAM_SUCCESS; }

public:
	bool open(Account const &account, std::string const &directory)
	{
		static constexpr pam_conv CONVERSATION{.conv = answer, .appdata_ptr = nullptr};
		char const *const where = directory.empty() ? nullptr : directory.c_str();
		return _ok(::pam_start_confdir(
				   Sessions::SERVICE, account.name.c_str(), &CONVERSATION, where, &_handle)) &&
			_ok(::pam_authenticate(_handle, 0)) &&
			::initgroups(account.name.c_str(), account.group) == 0 &&
			_ok(::pam_setcred(_handle, PAM_ESTABLISH_CRED)) && _ok(::pam_open_session(_handle, 0));
	}

	std::string error() const
	{
		if (_result == PAM_SUCCESS) return errno_text(errno);
		return ::pam_strerror(_handle, _result);
	}

	std::vector<std::string> environment() const
	{
		std::vector<std::string> variables;
		char **const list = ::pam_getenvlist(_handle);
		for (char **entry = list; entry && *entry; ++entry) {
			variables.emplace_back(*entry);
			::free(*entry);
		}
		::free(list);
		return variables;
	}

	void close()
	{
		(void)::pam_close_session(_handle, 0);
		(void)::pam_setcred(_handle, PAM_DELETE_CRED | PAM_SILENT);
		(void)::pam_end(_handle, PAM_SUCCESS);
	}
};

int wait_for(pid_t process)
{
	int status = 0;
	while (::waitpid(process, &status, 0) < 0)
		if (errno != EINTR) return EXIT_TROUBLE;
	return exit_code_of(status);
}

// Standard input, output and errors of the keeper.
void let_go_of(Program const &program, int report)
{
	Owned_fd const null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
	for (int fd = 0; fd <= STDERR_FILENO; ++fd) (void)::dup2(null.value(), fd);
	for (int const fd : {program.in, program.out, program.errors, report})
		if (fd > STDERR_FILENO) (void)::close(fd);
}

[[noreturn]] void keep_session(
	Program program, Account const &account, std::string const &directory, int report)
{
	default_signals();
	close_others({program.in, program.out, program.errors, report});
	Pam pam;
	if (!pam.open(account, directory))
		give_up(report, "PAM opens no session for " + account.name + ": " + pam.error());
	std::vector<std::string> environment = pam.environment();
	for (std::string &variable : program.environment)
		if (variable.starts_with("QREXEC")) set(environment, std::move(variable));
	set_user(environment, account);
	program.environment = std::move(environment);
	through_login_shell(program, account);
	pid_t const child = ::fork();
	if (child < 0) give_up(report, "cannot fork: " + errno_text(errno));
	if (child == 0) {
		become(account, report);
		execute(program, report);
	}
	// What the program closes must be closed.
	let_go_of(program, report);
	int const code = wait_for(child);
	pam.close();
	::_exit(code);
}

[[noreturn]] void run_as(Program program, Account const &account, int report)
{
	if (::initgroups(account.name.c_str(), account.group) != 0)
		give_up(report, "cannot join the groups of " + account.name + ": " + errno_text(errno));
	set_user(program.environment, account);
	if (program.command) through_login_shell(program, account);
	become(account, report);
	execute(program, report);
}

bool service_file(std::string const &directory)
{
	return ::access((directory + "/" + Sessions::SERVICE).c_str(), F_OK) == 0;
}

} // namespace

Sessions::Sessions(std::string pam_directory)
	: _own_user(own_user()),
	  _directory(std::move(pam_directory)),
	  _configured(_directory.empty() ? service_file("/etc/pam.d") || service_file("/usr/lib/pam.d")
									 : service_file(_directory))
{}

std::variant<pid_t, Service_failure> Sessions::start(
	Program const &program, std::string const &user)
{
	bool const root = ::geteuid() == 0;
	bool const own = !user.empty() && user == _own_user;
	// Most calls: nothing to look up, nobody to become.
	if (own && (!root || !_configured)) return spawn(program);
	if (!root)
		return trouble("a program was to run as " + user + ", but this one runs as " +
			(_own_user.empty() ? "a user without a name" : _own_user) + ": run it as root");
	std::optional<Account> const account = find_account(user);
	if (!account) return trouble("there is no user " + user);
	if (!_configured && account->user == 0) return spawn(program);
	int ends[2];
	if (::pipe2(ends, O_CLOEXEC) != 0) return trouble("cannot make a pipe: " + errno_text(errno));
	Owned_fd const reading{ends[0]};
	Owned_fd writing{ends[1]};
	pid_t const child = ::fork();
	if (child < 0) return trouble("cannot fork: " + errno_text(errno));
	if (child == 0) {
		if (_configured) keep_session(program, *account, _directory, writing.value());
		run_as(program, *account, writing.value());
	}
	writing.reset();
	std::array<char, LOG_LINE_MAX> message;
	ssize_t n = 0;
	// Ends when the program runs, since the pipe is closed then.
	while ((n = ::read(reading.value(), message.data(), message.size())) < 0 && errno == EINTR) {}
	if (n <= 0) return child;
	(void)wait_for(child);
	return trouble({message.data(), static_cast<size_t>(n)});
}

} // namespace bulkhead::qrexec
