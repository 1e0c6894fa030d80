#include "tool/doctor.h"

#include "platform/linux/sandbox/explain/lacks.h"
#include "tool/kvm_probe.h"
#include "tool/outcome.h"
#include "vfs/fuse/mount_point.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <vector>

namespace bulkhead::tool {

namespace {

namespace fs = std::filesystem;

enum class State { OK, LIMITED, MISSING };

struct Finding
{
	std::string name;
	State state;
	bool essential;
	std::string detail;
	std::string remedy = {};
};

std::string_view name_of(State state)
{
	switch (state) {
	case State::OK: return "ok";
	case State::LIMITED: return "limited";
	case State::MISSING: return "missing";
	}
	return "missing";
}

/* The path of a program, empty if there is none. */
std::string program(std::string_view name)
{
	char const *const path = getenv("PATH");
	std::string_view rest = path ? path : "/usr/bin:/bin";
	while (!rest.empty()) {
		std::string_view const directory = rest.substr(0, rest.find(':'));
		rest.remove_prefix(std::min(directory.size() + 1, rest.size()));
		std::string const file = fmt::format("{}/{}", directory, name);
		if (access(file.c_str(), X_OK) == 0) return file;
	}
	return {};
}

Finding check_program(std::string name, std::string purpose, std::string package)
{
	std::string const path = program(name);
	if (!path.empty()) return {name, State::OK, false, fmt::format("{}: {}", path, purpose)};
	return {std::move(name), State::MISSING, false, std::move(purpose),
		"sudo apt-get install " + package};
}

/* Device files with a name that begins so; those that this user can use. */
Finding check_devices(
	std::string name, std::string_view prefix, std::string purpose, std::string remedy)
{
	std::string found, denied;
	std::error_code error;
	std::vector<std::string> files;
	for (fs::directory_iterator entry("/dev", error), end; !error && entry != end;
		entry.increment(error))
		if (entry->path().filename().string().starts_with(prefix))
			files.push_back(entry->path().string());
	std::ranges::sort(files);
	for (std::string const &file : files) {
		bool const usable = access(file.c_str(), R_OK | W_OK) == 0;
		(usable ? found : denied) += " " + file;
	}
	if (!found.empty()) return {std::move(name), State::OK, false, purpose + ":" + found};
	if (!denied.empty())
		return {std::move(name), State::LIMITED, false, "no permission for" + denied,
			fmt::format("a udev rule, or: sudo chown $USER{}", denied)};
	return {std::move(name), State::MISSING, false, "none: " + purpose, std::move(remedy)};
}

Finding check_fuse()
{
	auto const problem = fuse::check_fuse();
	if (!problem) return {"fuse", State::OK, true, "/dev/fuse: shows the tree to programs"};
	return {"fuse", State::MISSING, true, problem->what, problem->remedy};
}

Finding check_fusermount()
{
	bool const needed = geteuid() != 0;
	Finding finding = check_program("fusermount3", "mounts for users other than root", "fuse3");
	finding.essential = needed;
	return finding;
}

Finding check_kvm()
{
	Kvm_finding const found = probe_kvm();
	State state = State::OK;
	if (found.state == Kvm_finding::State::LIMITED) state = State::LIMITED;
	if (found.state == Kvm_finding::State::MISSING) state = State::MISSING;
	return {"kvm", state, false, found.detail, found.remedy};
}

Finding check_hugepages()
{
	size_t pages = 0;
	std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") >> pages;
	if (pages)
		return {"hugepages", State::OK, false, fmt::format("{} pages of 2 MiB reserved", pages)};
	return {"hugepages", State::MISSING, false,
		"no huge pages reserved: memory of virtual machines is a little slower",
		"sudo sysctl vm.nr_hugepages=512"};
}

/* What a domain's sandbox is made of; `permit_weaker` in a manifest does without. */
void check_sandbox(std::vector<Finding> &findings)
{
	using linux_host::Ability;
	static constexpr std::string_view PURPOSES[linux_host::ABILITIES]{
		"domains see nothing but what they are given", "domains make few system calls",
		"domains keep to the directories that they are given",
		"memory of all processes of a domain (cgroup version 2)",
		"share of the processors of a domain (cgroup version 2)",
		"processes of a domain (cgroup version 2)"};
	std::vector<linux_host::Lack> const lacks = linux_host::find_lacks("");
	for (unsigned i = 0; i < linux_host::ABILITIES; ++i) {
		Finding finding{std::string(linux_host::name_of(Ability(i))), State::OK, false,
			std::string(PURPOSES[i])};
		for (linux_host::Lack const &lack : lacks) {
			if (lack.ability != Ability(i)) continue;
			size_t const remedy = std::min(lack.why.find("; "), lack.why.size());
			finding.state = State::MISSING;
			finding.detail += ": " + lack.why.substr(0, remedy);
			if (remedy < lack.why.size()) finding.remedy = lack.why.substr(remedy + 2);
		}
		findings.push_back(std::move(finding));
	}
}

std::vector<Finding> examine()
{
	std::vector<Finding> findings{
		check_fuse(),
		check_fusermount(),
		check_program("swtpm", "the TPM behind the simulated wire", "swtpm"),
		check_program("tpm2_getrandom", "unmodified clients of a TPM", "tpm2-tools"),
		check_devices("tpm", "tpm", "TPMs that Linux drives",
			"not needed: a TPM on an SPI bus is driven without the kernel"),
		check_devices("spidev", "spidev", "SPI buses",
			"sudo modprobe spidev and a device tree overlay; or controller = \"sim\""),
		check_devices("i2c-dev", "i2c-", "I2C buses", "sudo modprobe i2c-dev"),
		check_devices("cuse", "cuse", "devices with ioctls, such as i2c-dev and spidev",
			"sudo modprobe cuse"),
		check_kvm(),
		check_devices("vhost", "vhost-", "virtual machines' queues in the kernel",
			"sudo modprobe vhost_vsock vhost_net"),
		check_program("qemu-system-x86_64", "virtual machines", "qemu-system-x86"),
		check_hugepages(),
	};
	check_sandbox(findings);
	return findings;
}

void print_json(std::vector<Finding> const &findings)
{
	nlohmann::ordered_json list = nlohmann::ordered_json::array();
	for (Finding const &finding : findings) {
		nlohmann::ordered_json entry{{"name", finding.name},
			{"state", std::string(name_of(finding.state))}, {"essential", finding.essential},
			{"detail", finding.detail}};
		if (!finding.remedy.empty()) entry["remedy"] = finding.remedy;
		list.push_back(std::move(entry));
	}
	fmt::print("{}\n", list.dump(2));
}

} // namespace

int doctor(bool json)
{
	std::vector<Finding> const findings = examine();
	bool const healthy = std::ranges::none_of(
		findings, [](Finding const &f) { return f.essential && f.state == State::MISSING; });
	if (json) {
		print_json(findings);
	} else {
		for (Finding const &finding : findings) {
			fmt::print("{:<8} {:<18} {}\n", name_of(finding.state), finding.name, finding.detail);
			if (finding.state != State::OK && !finding.remedy.empty())
				fmt::print("{:27} -> {}\n", "", finding.remedy);
		}
		if (!healthy) fmt::print("\nWhat bulkhead can't do without is missing.\n");
	}
	return static_cast<int>(healthy ? Exit::OK : Exit::FUSE);
}

} // namespace bulkhead::tool
