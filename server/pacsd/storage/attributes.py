"""The attributes that the header scan collects: what queries ask for at any level from patient to image."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

__all__ = ["INDEXED_ATTRIBUTES", "INDEXED_KEYWORDS", "LAST_INDEXED_GROUP"]

INDEXED_KEYWORDS: Final = (
    # Identification (0008)
    *("SpecificCharacterSet", "ImageType", "InstanceCreationDate", "InstanceCreationTime"),
    *("InstanceCreatorUID", "SOPClassUID", "SOPInstanceUID", "RelatedGeneralSOPClassUID"),
    *("OriginalSpecializedSOPClassUID", "StudyDate", "SeriesDate", "AcquisitionDate"),
    *("ContentDate", "AcquisitionDateTime", "StudyTime", "SeriesTime", "AcquisitionTime"),
    *("ContentTime", "AccessionNumber", "Modality", "ConversionType", "PresentationIntentType"),
    *("Manufacturer", "InstitutionName", "InstitutionAddress", "ReferringPhysicianName"),
    *("ConsultingPhysicianName", "TimezoneOffsetFromUTC", "StationName", "StudyDescription"),
    *("SeriesDescription", "InstitutionalDepartmentName", "PhysiciansOfRecord"),
    *("PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName"),
    *("AdmittingDiagnosesDescription", "ManufacturerModelName", "DerivationDescription"),
    *("LossyImageCompression",),
    # Patient (0010)
    *("PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "PatientBirthDate"),
    *("PatientBirthTime", "PatientSex", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName"),
    *("PatientAge", "PatientSize", "PatientWeight", "PatientMotherBirthName", "MedicalAlerts"),
    *("Allergies", "EthnicGroup", "Occupation", "SmokingStatus", "AdditionalPatientHistory"),
    *("PregnancyStatus", "LastMenstrualDate", "PatientReligiousPreference"),
    *("PatientSpeciesDescription", "PatientBreedDescription", "ResponsiblePerson"),
    *("ResponsibleOrganization", "PatientComments"),
    # Clinical trial and de-identification (0012)
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName"),
    *("ClinicalTrialSiteID", "ClinicalTrialSubjectID", "ClinicalTrialTimePointID"),
    *("PatientIdentityRemoved",),
    # Acquisition (0018)
    *("ContrastBolusAgent", "BodyPartExamined", "ScanningSequence", "SequenceVariant"),
    *("SliceThickness", "KVP", "RepetitionTime", "EchoTime", "MagneticFieldStrength"),
    *("SpacingBetweenSlices", "DeviceSerialNumber", "SoftwareVersions", "ProtocolName"),
    *("ConvolutionKernel", "PatientPosition", "ViewPosition"),
    # Relationship (0020)
    *("StudyInstanceUID", "SeriesInstanceUID", "StudyID", "SeriesNumber", "AcquisitionNumber"),
    *("InstanceNumber", "PatientOrientation", "ImagePositionPatient", "ImageOrientationPatient"),
    *("FrameOfReferenceUID", "Laterality", "ImageLaterality", "TemporalPositionIdentifier"),
    *("NumberOfTemporalPositions", "SynchronizationFrameOfReferenceUID", "ImagesInAcquisition"),
    *("PositionReferenceIndicator", "SliceLocation", "OtherStudyNumbers", "ImageComments"),
    *("StackID", "ConcatenationUID", "InConcatenationNumber"),
    # Image (0028)
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("QualityControlImage", "BurnedInAnnotation", "RecognizableVisualFeatures"),
    *("PixelIntensityRelationship", "WindowCenter", "WindowWidth", "RescaleIntercept"),
    *("RescaleSlope", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    # Study and visit (0032, 0038)
    *("StudyStatusID", "StudyPriorityID", "StudyIDIssuer", "StudyVerifiedDate"),
    *("StudyVerifiedTime", "StudyReadDate", "StudyReadTime", "ReasonForStudy"),
    *("RequestingPhysician", "RequestingService", "RequestedProcedureDescription"),
    *("RequestedContrastAgent", "StudyComments", "AdmissionID", "IssuerOfAdmissionID"),
    *("AdmittingDate", "AdmittingTime", "PatientState", "VisitComments", "SpecialNeeds"),
    *("CurrentPatientLocation",),
    # Procedure and structured reporting (0040), encapsulated documents (0042), presentation (0070)
    *("PerformedStationAETitle", "PerformedStationName", "PerformedLocation"),
    *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
    *("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime"),
    *("PerformedProcedureStepStatus", "PerformedProcedureStepID"),
    *("PerformedProcedureStepDescription", "PerformedProcedureTypeDescription"),
    *("CommentsOnThePerformedProcedureStep", "RequestedProcedureID"),
    *("ReasonForTheRequestedProcedure", "RequestedProcedurePriority"),
    *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
    *("VerificationDateTime", "CompletionFlag", "CompletionFlagDescription", "VerificationFlag"),
    *("PreliminaryFlag", "ObservationDateTime", "ValueType", "DocumentTitle"),
    *("MIMETypeOfEncapsulatedDocument", "ContentLabel", "ContentDescription"),
    *("PresentationCreationDate", "PresentationCreationTime", "ContentCreatorName"),
)  # fmt: skip
"""By group of the data dictionary; no sequences, nothing whose values are bulk data."""


def _tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise LookupError(f"{keyword} is not in the data dictionary")
    return tag


INDEXED_ATTRIBUTES: Final[dict[int, tuple[str, str]]] = {
    _tag(keyword): (keyword, dictionary_VR(_tag(keyword))) for keyword in INDEXED_KEYWORDS
}
"""Tag → keyword and VR of the data dictionary."""

LAST_INDEXED_GROUP: Final = max(INDEXED_ATTRIBUTES) >> 16
"""Elements come in ascending order (PS3.5 §7.1), so that a scan may stop behind this group."""
