#include "component/qrexec/client/qubesd.h"

#include "component/qrexec/host/log.h"
#include "component/qrexec/host/process.h"
#include "sdk/qrexec/local_socket.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/socket.h>

namespace bulkhead::qrexec {
namespace {

using linux_host::Owned_fd;
using namespace std::string_view_literals;

constexpr size_t ANSWER_MAX = 65536;

bool send_all(int fd, std::string_view bytes)
{
	while (!bytes.empty()) {
		ssize_t const n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return false;
		bytes.remove_prefix(static_cast<size_t>(n));
	}
	return true;
}

bool receive_all(int fd, std::string &bytes)
{
	char buffer[4096];
	while (true) {
		ssize_t const n = recv(fd, buffer, sizeof(buffer), 0);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return n == 0;
		if (bytes.size() + static_cast<size_t>(n) > ANSWER_MAX) {
			errno = EMSGSIZE;
			return false;
		}
		bytes.append(buffer, static_cast<size_t>(n));
	}
}

// Up to the next NUL, which is taken, too.
std::string_view next_field(std::string_view &from)
{
	size_t const end = std::min(from.find('\0'), from.size());
	std::string_view const field = from.substr(0, end);
	from.remove_prefix(std::min(end + 1, from.size()));
	return field;
}

Qubesd_answer failed(std::string message)
{
	Qubesd_answer answer;
	answer.message = std::move(message);
	return answer;
}

} // namespace

std::string qubesd_socket()
{
	char const *const path = getenv("QREXEC_QUBESD_SOCKET");
	return path && *path ? path : "/var/run/qubesd.sock";
}

// "0 NUL result", or "2 NUL exception NUL traceback NUL format NUL arguments…".
Qubesd_answer parse_qubesd_answer(std::string_view bytes)
{
	if (bytes.starts_with("0\0"sv)) {
		Qubesd_answer answer;
		answer.ok = true;
		answer.text = bytes.substr(2);
		return answer;
	}
	if (!bytes.starts_with("2\0"sv)) return failed("qubesd gave no answer that makes sense");
	bytes.remove_prefix(2);
	Qubesd_answer answer;
	answer.fault = next_field(bytes);
	next_field(bytes); // the traceback
	answer.message = "qubesd says " + answer.fault;
	if (!bytes.empty()) answer.message += ": " + std::string(next_field(bytes));
	return answer;
}

Qubesd_answer ask_qubesd(
	std::string_view method, std::string_view destination, std::string_view payload)
{
	std::string const path = qubesd_socket();
	Owned_fd socket;
	if (int const error = connect_to_local(path, socket))
		return failed("qubesd isn't there (" + path + ": " + errno_text(error) +
			"); start it: systemctl start qubesd");
	fcntl(socket.value(), F_SETFL, 0); // it may block
	bool const keyword = destination.starts_with('@');
	std::string question(method);
	question += keyword ? "+ dom0 keyword " : "+ dom0 name ";
	question += destination.substr(keyword);
	question += '\0';
	question += payload;
	std::string bytes;
	if (!send_all(socket.value(), question) || shutdown(socket.value(), SHUT_WR) != 0 ||
		!receive_all(socket.value(), bytes))
		return failed("no answer from qubesd: " + errno_text(errno));
	return parse_qubesd_answer(bytes);
}

bool start_domain(std::string_view name)
{
	Qubesd_answer const answer = ask_qubesd("admin.vm.Start", name);
	if (answer.ok || answer.fault == "QubesVMNotHaltedError") return true;
	log("domain ", name, " can't be started: ", answer.message);
	return false;
}

std::string create_disposable(std::string_view from)
{
	bool const by_id = from.starts_with("uuid:");
	Qubesd_answer const answer =
		ask_qubesd("admin.vm.CreateDisposable", from, by_id ? "uuid"sv : ""sv);
	if (!answer.ok) {
		log("no disposable can be made from ", from, ": ", answer.message);
		return {};
	}
	std::string_view const name = answer.text;
	bool const fits = !name.empty() && name.size() < 64 && !name.contains('/') &&
		!name.contains('\0') && name.starts_with("uuid:") == by_id;
	if (fits) return answer.text;
	log("qubesd has made a disposable from ", from, " but gives it no name that makes sense");
	return {};
}

void kill_domain(std::string_view name)
{
	Qubesd_answer const answer = ask_qubesd("admin.vm.Kill", name);
	// It may have gone by itself.
	if (!answer.ok && answer.fault != "QubesVMNotFoundError" &&
		answer.fault != "QubesVMNotStartedError" && answer.fault != "QubesVMNotRunningError")
		log("domain ", name, " can't be killed: ", answer.message);
}

} // namespace bulkhead::qrexec
