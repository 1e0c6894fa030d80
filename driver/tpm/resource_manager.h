#pragma once

// Lets many users share one TPM, each with the impression of having it alone: the role of a
// resource manager (TCG TSS 2.0 TAB and Resource Manager Specification), with the semantics of
// Linux' /dev/tpmrm0. A user sees and reaches only its own transient objects and sessions; between
// its commands they are saved outside of the TPM, whose few slots thus suffice for all.

#include "base/fixed_vector.h"
#include "base/list.h"
#include "base/mutex.h"
#include "driver/tpm/interface.h"
#include "driver/tpm/registers.h"

namespace bulkhead::tpm {

class Space;

/* What the users of one TPM have in common. It must be the only user of the chip's interface. */
class Resource_manager
{
private:
	friend class Space;

	static constexpr size_t COMMANDS_MAX = 384;
	static constexpr size_t KEPT_MAX = 16;

	/* A session whose context a user keeps: it belongs to whoever loads that again. */
	struct Kept
	{
		uint32_t handle;
		uint64_t sequence; // of the context
		Space const *saver; // null: has gone
	};

	Interface &_chip;
	Mutex _exclusive{}; // one user's command, with what is loaded for it, at a time
	Fixed_vector<uint32_t, COMMANDS_MAX> _attributes{}; // TPMA_CC of each command that the TPM has
	List<Space> _spaces{};
	Fixed_vector<Kept, KEPT_MAX + 1> _kept{}; // oldest first; one too many until it is flushed
	bool _leftovers = true; // objects or sessions may be in the TPM that belong to nobody
	bool _clean = true; // all that had to leave the TPM lately has left it
	Job const *_executing = nullptr; // whose command, not one of ours, the TPM works on
	uint8_t _command[MESSAGE_MAX_BYTES]{}; // of the user, with the TPM's handles in it
	uint8_t _own[MESSAGE_MAX_BYTES]{}; // commands of the manager, and their responses

	Task<uint32_t, Error> _execute_own(Job &, size_t size);
	Task<uint32_t, Error> _capability(Job &, uint32_t capability, uint32_t property);
	Task<uint32_t, Error> _learn_commands(Job &);
	Task<void, Error> _sweep(Job &);
	Task<void, Error> _sweep(Job &, uint32_t first_handle);
	Task<bool, Error> _close_gap(Job &);
	Task<void, Error> _limit_kept(Job &);
	bool _kept_by(Space const &, uint32_t handle) const;
	bool _owned(uint32_t handle);
	void _disown(uint32_t handle);
	void _gone(Space const &);
	Task<uint32_t, Error> _flush(Job &, uint32_t handle);
	Task<void, Error> _discard(Job &, uint32_t handle);
	Task<uint32_t, Error> _save(Job &, uint32_t handle);
	Task<uint32_t, Error> _load(Job &, Bytes context, uint32_t &handle);
	uint32_t const *_attributes_of(uint32_t command_code) const;

public:
	explicit Resource_manager(Interface &chip) : _chip(chip) {}
	Resource_manager(Resource_manager const &) = delete;
	Resource_manager &operator=(Resource_manager const &) = delete;
};

/*
 * The TPM as one user sees it. Commands that refer to an object or a session of somebody else are
 * answered with TPM_RC_HANDLE, as if it weren't there. Responses that come from the manager and not
 * from the TPM carry the resource manager's layer in their code (TSS2_RESMGR_TPM_RC_LAYER).
 *
 * A session that the user saves with TPM2_ContextSave is its own no longer: whoever has the context
 * may load it, and it outlives its user, since programs do that which take one step of a policy
 * each. Of such sessions the latest 16 are kept.
 */
class Space final : public Interface, public Link<Space>
{
public:
	static constexpr size_t OBJECTS_MAX = 8; // transient objects of one user
	static constexpr size_t SESSIONS_MAX = 8;
	static constexpr size_t OBJECT_CONTEXT_MAX = 3072; // bytes of TPMS_CONTEXT
	static constexpr size_t SESSION_CONTEXT_MAX = 1024;

private:
	friend class Resource_manager;

	class In_use;

	template <size_t MAX>
	struct Context
	{
		uint32_t handle = 0; // as the user knows it; 0: the slot is free
		uint32_t loaded = 0; // as the TPM knows it; 0: not in the TPM
		uint16_t size = 0; // of the saved context; 0: there is none
		uint8_t saved[MAX];

		Bytes bytes() const { return std::span(saved).first(size); }
		void drop()
		{
			fill_bytes(std::span(saved).first(size), 0);
			handle = loaded = size = 0;
		}

		/* Whether the context, if there is one, is what it was before it was loaded. */
		bool unchanged_by_use() const;
		void keep(Bytes context)
		{
			size = uint16_t(context.size());
			copy_bytes(saved, context);
		}
	};

	using Object = Context<OBJECT_CONTEXT_MAX>;
	using Session = Context<SESSION_CONTEXT_MAX>;

	Resource_manager &_manager;
	Object _objects[OBJECTS_MAX]{};
	Session _sessions[SESSIONS_MAX]{};
	uint32_t _next_handle = 0;

	Object *_object(uint32_t handle);
	Session *_session(uint32_t handle);
	uint32_t _new_handle();

	Task<uint32_t, Error> _load(Job &, uint32_t &handle);
	Task<uint32_t, Error> _load_object(Job &, Object &);
	Task<uint32_t, Error> _load_session(Job &, Session &);
	Task<uint32_t, Error> _load_all(Job &, size_t size, uint32_t attributes);
	Task<void, Error> _put_away(Job &);
	Task<void, Error> _put_away(Job &, Object &);
	Task<void, Error> _put_away(Job &, Session &);
	size_t _note_response(uint32_t code, uint32_t attributes, Mutable_bytes response, size_t size);
	size_t _note_handle(Mutable_bytes response, size_t size);
	size_t _answer_without_tpm(Bytes command, Mutable_bytes response);
	size_t _handles(uint32_t property, size_t count, Mutable_bytes response);
	uint32_t _lack_of_room(Bytes command, uint32_t attributes);
	Task<size_t, Error> _execute(Job &, Bytes command, Mutable_bytes response);
	Task<size_t, Error> _execute_mine(Job &, Bytes command, Mutable_bytes response);

public:
	/* The manager outlives the space, which ends while no command of any space goes on. */
	explicit Space(Resource_manager &manager) : _manager(manager)
	{
		manager._spaces.push_back(*this);
	}
	~Space();
	Space(Space const &) = delete;
	Space &operator=(Space const &) = delete;

	Task<size_t, Error> execute(Job &job, Bytes command, Mutable_bytes response) override;
	bool cancel(Job const &job) override;
	Task<void, Error> forget(Job &job) override;
};

} // namespace bulkhead::tpm
