"""The errors of edgetl, one tree for the workstation and the device.

EdgetlError
├── DatasetError     the photos cannot be used as they are
├── OptionsError     options are unknown, out of range or contradict one another
├── TrainingError    training cannot continue
├── WeightsError     the backbone's weights are not available or do not fit
├── RunError         a run folder is missing, unfinished or damaged
├── ExportError      a trained model cannot be converted
├── GateError        an exported file is worse than allowed
├── StorageError     a file or folder cannot be written
├── BundleError      a bundle is damaged, incomplete or of another format
├── BenchmarkError   a file is no benchmark report, or damaged
├── EngineError      an engine cannot run the model
│   ├── MissingEngineError   the engine is not installed
│   └── ModelOutputError     a model's output is not a probability distribution
├── FrameError       an image cannot be read or is not a frame
├── LessonError      frames teach nothing, or the bundle cannot learn
├── CameraError      a camera, stream or video does not deliver
│   └── RefusedError         it rejects the user name or password
├── OutputError      an answer cannot be written to where it should go
│   └── UndeliveredError     not now, but perhaps later: an event waits for it
└── ServiceError     the service cannot be started, reloaded or installed
    └── LockedError  another instance is running

A message says what was expected, what was found and what to do.
"""


class EdgetlError(Exception):
    """Base of all errors that a user can do something about."""


class DatasetError(EdgetlError):
    """The photos cannot be used as they are."""


class OptionsError(EdgetlError):
    """Options are unknown, out of range, or contradict one another."""


class TrainingError(EdgetlError):
    """Training cannot continue; the last checkpoint is kept."""


class WeightsError(EdgetlError):
    """The backbone's weights are not available, or do not fit the backbone."""


class RunError(EdgetlError):
    """A run folder is missing, unfinished or damaged."""


class ExportError(EdgetlError):
    """A trained model cannot be converted."""


class GateError(EdgetlError):
    """An exported file is worse than the gate allows, and no repair helped."""


class StorageError(EdgetlError):
    """A file or folder cannot be written."""


class BundleError(EdgetlError):
    """A bundle is damaged, incomplete or of another format."""


class BenchmarkError(EdgetlError):
    """A file is no benchmark report, damaged, or of another format."""


class EngineError(EdgetlError):
    """An engine cannot run the model."""


class MissingEngineError(EngineError):
    """The engine is not installed on this machine."""


class ModelOutputError(EngineError):
    """A model's output is not a probability distribution: NaN, out of range, or a wrong sum."""


class FrameError(EdgetlError):
    """An image cannot be read or is not a frame."""


class LessonError(EdgetlError):
    """Frames teach nothing, or a bundle cannot learn."""


class CameraError(EdgetlError):
    """A camera, stream or video does not deliver frames."""


class RefusedError(CameraError):
    """A camera rejects the user name or password; many lock accounts after repeated attempts."""


class OutputError(EdgetlError):
    """An answer cannot be written to where it should go."""


class UndeliveredError(OutputError):
    """An answer cannot be written now, but perhaps later: an event waits for it."""


class ServiceError(EdgetlError):
    """The service cannot be started, reloaded or installed."""


class LockedError(ServiceError):
    """Another instance holds the lock."""
