#include "tool/kvm_probe.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace bulkhead::tool {

namespace {

constexpr size_t PAGE = 4096;
constexpr int KVM_VERSION = 12; // the only one that there is

class Descriptor
{
public:
	int const fd;

	explicit Descriptor(int f) : fd(f) {}
	Descriptor(Descriptor const &) = delete;
	~Descriptor()
	{
		if (fd >= 0) close(fd);
	}
};

class Mapping
{
public:
	void *const address;
	size_t const size;

	Mapping(int fd, size_t s)
		: address(mmap(nullptr, s, PROT_READ | PROT_WRITE,
			  fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0)),
		  size(s)
	{}
	Mapping(Mapping const &) = delete;
	~Mapping()
	{
		if (ok()) munmap(address, size);
	}

	bool ok() const { return address != MAP_FAILED; }
};

#if defined(__x86_64__)

/* Real mode: adds, reports the sum at a port, halts. Whether the sum arrives. */
bool runs_a_guest(int kvm)
{
	static constexpr uint8_t CODE[] = {
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0x00, 0xd8, // add al, bl
		0xee, // out dx, al
		0xf4, // hlt
	};
	Descriptor const machine(ioctl(kvm, KVM_CREATE_VM, 0));
	Mapping const memory(-1, PAGE);
	if (machine.fd < 0 || !memory.ok()) return false;
	memcpy(memory.address, CODE, sizeof CODE);
	kvm_userspace_memory_region region{};
	region.guest_phys_addr = PAGE;
	region.memory_size = PAGE;
	region.userspace_addr = reinterpret_cast<uintptr_t>(memory.address);
	if (ioctl(machine.fd, KVM_SET_USER_MEMORY_REGION, &region) != 0) return false;
	Descriptor const cpu(ioctl(machine.fd, KVM_CREATE_VCPU, 0));
	int const run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (cpu.fd < 0 || run_size < static_cast<int>(sizeof(kvm_run))) return false;
	Mapping const shared(cpu.fd, static_cast<size_t>(run_size));
	kvm_sregs segments{};
	if (!shared.ok() || ioctl(cpu.fd, KVM_GET_SREGS, &segments) != 0) return false;
	segments.cs.base = segments.cs.selector = 0;
	kvm_regs registers{};
	registers.rip = PAGE;
	registers.rax = 40;
	registers.rbx = 2;
	registers.rflags = 2;
	if (ioctl(cpu.fd, KVM_SET_SREGS, &segments) != 0) return false;
	if (ioctl(cpu.fd, KVM_SET_REGS, &registers) != 0) return false;
	if (ioctl(cpu.fd, KVM_RUN, 0) != 0) return false;
	auto const *const run = static_cast<kvm_run const *>(shared.address);
	return run->exit_reason == KVM_EXIT_IO && run->io.port == 0x3f8 &&
		static_cast<uint8_t const *>(shared.address)[run->io.data_offset] == 42;
}

#else

/* Other machines have no real mode; that a virtual CPU can be made must do. */
bool runs_a_guest(int kvm)
{
	Descriptor const machine(ioctl(kvm, KVM_CREATE_VM, 0));
	return machine.fd >= 0 && Descriptor(ioctl(machine.fd, KVM_CREATE_VCPU, 0)).fd >= 0;
}

#endif

} // namespace

Kvm_finding probe_kvm()
{
	using State = Kvm_finding::State;
	Descriptor const kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
	if (kvm.fd < 0 && (errno == EACCES || errno == EPERM))
		return {State::MISSING, "no permission for /dev/kvm", "sudo usermod -aG kvm $USER"};
	if (kvm.fd < 0)
		return {State::MISSING, "no /dev/kvm; virtual machines are emulated, which is slow",
			"sudo modprobe kvm_intel (or kvm_amd); switch virtualisation on in the firmware"};
	if (ioctl(kvm.fd, KVM_GET_API_VERSION, 0) != KVM_VERSION)
		return {State::MISSING, "/dev/kvm doesn't speak version 12", ""};
	if (!runs_a_guest(kvm.fd))
		return {State::LIMITED, "/dev/kvm opens, but its virtual CPU doesn't run", ""};
	if (access("/sys/module/kvm_pvm", F_OK) == 0)
		return {State::LIMITED,
			"a KVM in software (PVM): small guests run, Linux does not boot in it", ""};
	return {State::WORKS, "a virtual CPU runs"};
}

} // namespace bulkhead::tool
