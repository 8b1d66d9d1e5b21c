"""What `convert` makes of an autoscaler: a policy, and remarks on what is not the same. Pure: documents in and out.

Sources of the fields: the API reference of HorizontalPodAutoscaler (autoscaling/v2) at kubernetes.io, and at keda.sh
the ScaledObject's specification and the pages of the scalers.
"""
