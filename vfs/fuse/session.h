#pragma once

// The requests of one mount: reads them from the kernel, has the nodes do the work and answers. A
// node that answers at once is answered for at once; any other request becomes a job, and no
// request waits for another one.

#include "base/event.h"
#include "vfs/fuse/handle.h"
#include "vfs/fuse/node_table.h"
#include "vfs/fuse/operation.h"

#include <memory>
#include <optional>
#include <string>
#include <sys/uio.h>

namespace bulkhead::fuse {

class Entry_list;

/* Takes the answers of a session that isn't mounted: header and body of one at a time. */
class Outlet
{
protected:
	~Outlet() = default;

public:
	virtual void answer(std::span<iovec const> parts) = 0;
};

class Session final : public Operation::Owner
{
public:
	/* Bytes of a single read or write. */
	static constexpr size_t IO_MAX = size_t{1} << 20;

	struct Limits
	{
		size_t operations = 4096; // requests that wait at a time; more fail with ENOMEM
		size_t nodes = size_t{1} << 20; // that the kernel knows; more fail with ENFILE
		size_t handles = size_t{1} << 16; // open files; more fail with ENFILE
		size_t io_bytes = IO_MAX; // of a single read or write, at most IO_MAX
		uint32_t generation = 0; // of the first nodes and handles (Slots)
	};

private:
	friend struct Requests;

	static constexpr size_t SMALL_INPUT = 8 * 1024;
	static constexpr size_t SMALL_OUTPUT = 16 * 1024;

	Executor &_executor;
	Limits const _limits;
	std::string const _label;

	Node_table _nodes;
	Changes _changes{};
	Slots<std::unique_ptr<Handle>> _handles;
	Job_with_arena<512> _poll_job;
	Root _poll_root{};

	std::vector<std::unique_ptr<Operation>> _all_operations{};
	List<Operation> _free_operations{};
	List<Operation> _pending{};
	size_t _pending_count = 0;
	Event _none_pending{};
	bool _stopping = false;

	Buffers _small_inputs{SMALL_INPUT};
	Buffers _large_inputs;
	Buffers _small_outputs{SMALL_OUTPUT};
	Buffers _large_outputs;

	fuse_session *_session = nullptr;
	Outlet *_outlet = nullptr;
	fuse_buf _input{};
	Buffers *_input_owner = nullptr;

	/*
	 * Whoever closes a file must get through, beyond the limit: there are only as many of them as
	 * there are open files.
	 */
	enum class Reserve : uint8_t { KEEP, USE };

	struct Reading
	{
		Operation *operation = nullptr;
		Handle *handle = nullptr;
		Mutable_bytes buffer{};
	};

	Operation *_begin(fuse_req_t, Reserve = Reserve::KEEP);
	Reading _begin_reading(fuse_req_t, fuse_file_info const *, size_t, off_t);
	void _end(Operation &);
	void _wait(Operation &, Task<void>, Handle * = nullptr);
	template <typename STEPS>
	void _start(fuse_req_t, Located, STEPS &&);
	void ended(Operation &) override;
	Root _run(Job &, Operation &, Task<void>);
	Root _tell_pollers(Job &);

	Mutable_bytes _output(Operation &, size_t);

	/* The same; without memory the request fails, and the operation is over. */
	Mutable_bytes _output_or_end(Operation &, size_t);
	Credentials _caller(fuse_req_t) const;
	Handle *_handle(fuse_file_info const *);
	void _fail(Operation &, int error_number);

	// Requests that take several steps.
	Task<void> _lookup(Job &, Operation &, Located, std::string_view);
	Task<void> _reply_entry(Job &, Operation &, Located);
	Task<void> _fill_entry(Job &, Located, fuse_entry_param &);
	Task<void> _attributes(Job &, Operation &, Located, Task<vfs::Stat>);
	Task<void> _change(Job &, Operation &, Located, vfs::Changes);
	Task<void> _read_link(Job &, Operation &, Located);
	Task<void> _make(Job &, Operation &, Located, std::string_view, vfs::New_node);
	Task<void> _create(Job &, Operation &, Located, std::string_view, uint16_t, fuse_file_info);
	Task<void> _link(Job &, Operation &, Located, Located, std::string_view);
	Task<void> _remove(Job &, Operation &, Located, std::string_view, bool directory);
	Task<void> _rename(
		Job &, Operation &, Located, std::string_view, Located, std::string_view, vfs::Rename);
	Task<void> _open(Job &, Operation &, Located, fuse_file_info);
	Task<void> _open_handle(Job &, Operation &, Located, fuse_file_info &);
	Task<void> _close(Job &, Operation &, std::unique_ptr<Handle>);
	Task<void> _read(Job &, Operation &, Task<size_t>, Mutable_bytes);
	Task<void> _write(Job &, Operation &, Task<size_t>);
	Task<void> _control(Job &, Operation &, Task<size_t>, Mutable_bytes);
	Task<void> _sync(Job &, Operation &, Handle &);
	Task<void> _space(Job &, Operation &, Located);
	Task<void> _list(Job &, Operation &, Handle &, uint64_t offset, Mutable_bytes, bool plus);
	Task<void> _describe(Job &, Handle &, Entry_list &);

	void _answer_transfer(Operation &, Attempt<size_t>, Bytes);
	void _answer_control(Operation &, Attempt<size_t>, Bytes);
	void _answer_write(Operation &, Attempt<size_t>);
	void _answer_attributes(Operation &, Located const &, Attempt<vfs::Stat>);
	void _list_request(fuse_req_t, fuse_file_info const *, size_t, off_t, bool plus);
	bool _take_input(Buffers &);
	void _run_jobs();

public:
	// For libfuse only, which calls them with the requests of the kernel.
	void init(fuse_conn_info *);
	void lookup(fuse_req_t, fuse_ino_t, char const *);
	void forget(fuse_req_t, fuse_ino_t, uint64_t);
	void forget_multi(fuse_req_t, size_t, fuse_forget_data *);
	void getattr(fuse_req_t, fuse_ino_t, fuse_file_info *);
	void setattr(fuse_req_t, fuse_ino_t, struct stat *, int, fuse_file_info *);
	void readlink(fuse_req_t, fuse_ino_t);
	void mknod(fuse_req_t, fuse_ino_t, char const *, mode_t, dev_t);
	void mkdir(fuse_req_t, fuse_ino_t, char const *, mode_t);
	void unlink(fuse_req_t, fuse_ino_t, char const *);
	void rmdir(fuse_req_t, fuse_ino_t, char const *);
	void symlink(fuse_req_t, char const *, fuse_ino_t, char const *);
	void rename(fuse_req_t, fuse_ino_t, char const *, fuse_ino_t, char const *, unsigned);
	void link(fuse_req_t, fuse_ino_t, fuse_ino_t, char const *);
	void create(fuse_req_t, fuse_ino_t, char const *, mode_t, fuse_file_info *);
	void open(fuse_req_t, fuse_ino_t, fuse_file_info *);
	void read(fuse_req_t, fuse_ino_t, size_t, off_t, fuse_file_info *);
	void write(fuse_req_t, fuse_ino_t, char const *, size_t, off_t, fuse_file_info *);
	void fsync(fuse_req_t, fuse_ino_t, int, fuse_file_info *);
	void release(fuse_req_t, fuse_ino_t, fuse_file_info *);
	void readdir(fuse_req_t, fuse_ino_t, size_t, off_t, fuse_file_info *);
	void readdirplus(fuse_req_t, fuse_ino_t, size_t, off_t, fuse_file_info *);
	void statfs(fuse_req_t, fuse_ino_t);
	void poll(fuse_req_t, fuse_ino_t, fuse_file_info *, fuse_pollhandle *);
	void ioctl(fuse_req_t, fuse_ino_t, unsigned, void *, fuse_file_info *, unsigned, void const *,
		size_t, size_t);

	/* The label is that of all callers' credentials. */
	Session(Executor &executor, Ref<vfs::Node> root, std::string label, Limits limits);

	/* Whoever ends a session has called `drop_all` before. */
	~Session();

	/*
	 * Makes the libfuse session with mount options ("default_permissions", "fsname=…"); false if
	 * libfuse refuses them.
	 */
	bool make(std::vector<std::string> const &options);

	/* For fuse_session_mount and its like; null before `make`. */
	fuse_session *libfuse() { return _session; }

	/*
	 * Reads and handles the requests that are there, some dozens at most, so that others get their
	 * turn. False once the file system is unmounted.
	 */
	bool receive();

	/*
	 * Instead of `make`, for requests that come another way than from this machine's kernel: they
	 * are put where `input` says and handled by `process`. Whoever does so answers for what the
	 * kernel does: that a request is as long as its kind wants, and names end. False without
	 * memory.
	 */
	bool make_unmounted(Outlet &);

	/* Room for a request, the same until it is processed; empty if it is too large. */
	Mutable_bytes input(size_t size);

	/* Handles a request; what can't be answered at once becomes a job that the executor runs. */
	void process(size_t size);

	/*
	 * Reads a plain file that is open, straight to where the answer goes, if it needs no waiting;
	 * otherwise there is no result, and nothing has happened.
	 */
	std::optional<Attempt<size_t>> read_at_once(uint64_t handle, Mutable_bytes to, uint64_t offset);

	/* Input and process, and runs what comes of it; for tests. */
	void handle(Bytes request);

	/* Requests that wait, and files that are open. */
	size_t pending() const { return _pending_count; }
	size_t open_files() const { return _handles.used(); }

	/* Has all that waits fail, and all that would wait from now on. */
	void cancel_all();

	/* Begins to close all files; done once nothing is pending. */
	void close_all();

	/* Waits until no request is pending. Errors: TIMEOUT, CANCELLED. */
	Task<void> settle(Job &job, uint64_t until_us);

	/* Gives up whatever is still pending, and all files. */
	void drop_all();
};

} // namespace bulkhead::fuse
